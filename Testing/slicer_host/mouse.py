"""The mouse over a slice view: events go through Slicer's own interactor style to its displayable managers.

So place mode, dragging and modifiers do here what Slicer's code makes of them.
"""

import slicer
import vtk


class Mouse:
    """One mouse over one `SliceView`; positions are world RAS points of the slice shown."""

    def __new__(cls, view):
        """A view has one mouse for its life: two styles on one interactor get in each other's way."""
        if view.mouse is None:
            view.mouse = super().__new__(cls)
            view.mouse._hold(view)
        return view.mouse

    def _hold(self, view):
        self._view, self._interactor = view, view.interactor
        self._style = slicer.vtkMRMLSliceViewInteractorStyle()
        self._style.SetDisplayableManagers(view.managers)
        self._style.SetSliceLogic(view.logic)
        self._interactor.SetInteractorStyle(vtk.vtkInteractorStyleUser())
        self._style.SetInteractor(self._interactor)
        self._interactor.Enable()

    def move(self, ras, shift=False):
        column, row = self._view.pixelOf(ras)
        height = self._view.window.GetSize()[1]
        self._interactor.SetEventInformation(column, height - 1 - row, 0, int(shift), "\0", 0, None)
        self._interactor.InvokeEvent("MouseMoveEvent")

    def click(self, ras, shift=False):
        self.move(ras, shift)
        self.press()
        self.release()

    def drag(self, start, end, steps=4):
        self.move(start)
        self.press()
        for step in range(1, steps + 1):
            self.move([a + (b - a) * step / steps for a, b in zip(start, end)])
        self.release()

    def press(self):
        self._interactor.InvokeEvent("LeftButtonPressEvent")

    def release(self):
        self._interactor.InvokeEvent("LeftButtonReleaseEvent")
