"""Slice and 3-D views drawn off screen by Slicer's own displayable managers."""

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

SLICE_MANAGERS = (
    "vtkMRMLVolumeGlyphSliceDisplayableManager",
    "vtkMRMLModelSliceDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLScalarBarDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager2D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager2D",
    "vtkMRMLColorLegendDisplayableManager",
)
THREED_MANAGERS = (
    "vtkMRMLVolumeRenderingDisplayableManager",
    "vtkMRMLCameraDisplayableManager",
    "vtkMRMLViewDisplayableManager",
    "vtkMRMLModelDisplayableManager",
    "vtkMRMLThreeDReformatDisplayableManager",
    "vtkMRMLCrosshairDisplayableManager3D",
    "vtkMRMLOrientationMarkerDisplayableManager",
    "vtkMRMLRulerDisplayableManager",
    "vtkMRMLSegmentationsDisplayableManager3D",
    "vtkMRMLMarkupsDisplayableManager",
    "vtkMRMLTransformsDisplayableManager3D",
    "vtkMRMLColorLegendDisplayableManager",
)


class _OffScreenView:
    def _openWindow(self, size):
        self.window = vtk.vtkRenderWindow()
        self.window.SetOffScreenRendering(1)
        self.window.SetMultiSamples(0)
        self.window.SetSize(*size)
        self.renderer = vtk.vtkRenderer()
        self.window.AddRenderer(self.renderer)
        self.interactor = vtk.vtkRenderWindowInteractor()
        self.interactor.SetRenderWindow(self.window)
        self.interactor.Initialize()

    def _addManagers(self, factoryClass, names, applicationLogic):
        factory = factoryClass.GetInstance()
        factory.SetMRMLApplicationLogic(applicationLogic)
        for name in names:
            if not factory.IsDisplayableManagerRegistered(name):
                factory.RegisterDisplayableManager(name)
        self.managers = slicer.vtkMRMLDisplayableManagerGroup()
        self.managers.Initialize(factory, self.renderer)

    def array(self):
        """Draw and return the picture, uint8 (height, width, 3), first row on top."""
        self.window.Render()
        grab = vtk.vtkWindowToImageFilter()
        grab.SetInput(self.window)
        grab.ReadFrontBufferOff()
        grab.ShouldRerenderOff()
        grab.SetInputBufferTypeToRGB()
        grab.Update()
        image = grab.GetOutput()
        width, height, _ = image.GetDimensions()
        pixels = vtk_to_numpy(image.GetPointData().GetScalars()).reshape(height, width, -1)
        return np.array(pixels[::-1, :, :3])


class SliceView(_OffScreenView):
    """One of Red, Yellow, Green."""

    def __init__(self, name, orientation, applicationLogic, size=(400, 400)):
        self.mouse = None
        self._openWindow(size)
        self.renderer.GetActiveCamera().ParallelProjectionOn()
        self._mapper = vtk.vtkImageMapper()
        self._mapper.SetColorWindow(255)
        self._mapper.SetColorLevel(127.5)
        self._picture = vtk.vtkActor2D()
        self._picture.SetMapper(self._mapper)
        self._picture.GetProperty().SetDisplayLocationToBackground()
        self._addManagers(slicer.vtkMRMLSliceViewDisplayableManagerFactory, SLICE_MANAGERS, applicationLogic)
        self.logic = slicer.vtkMRMLSliceLogic()
        self.logic.SetMRMLApplicationLogic(applicationLogic)
        applicationLogic.GetSliceLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.node = self.logic.AddSliceNode(name)
        self.node.SetOrientation(orientation)
        self.managers.SetMRMLDisplayableNode(self.node)
        self.logic.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self._connect())
        self._connect()
        self.logic.ResizeSliceNode(*size)

    def _connect(self):
        connection = self.logic.GetImageDataConnection()
        if connection is None:
            self._picture.VisibilityOff()
            return
        self._mapper.SetInputConnection(connection)
        self._picture.VisibilityOn()
        if not self.renderer.HasViewProp(self._picture):
            self.renderer.AddViewProp(self._picture)

    def fit(self):
        self.logic.ResizeSliceNode(*self.window.GetSize())
        self.logic.FitSliceToBackground()

    def pixelOf(self, ras):
        """Return (column, row from the top) where a RAS point of this slice is drawn."""
        inverse = vtk.vtkMatrix4x4()
        vtk.vtkMatrix4x4.Invert(self.node.GetXYToRAS(), inverse)
        x, y, _, _ = inverse.MultiplyPoint((*ras, 1.0))
        return int(round(x)), int(round(self.window.GetSize()[1] - 1 - y))


class ThreeDView(_OffScreenView):
    def __init__(self, applicationLogic, name="1", size=(400, 400)):
        self._openWindow(size)
        self.renderer.SetUseDepthPeeling(True)
        self._addManagers(slicer.vtkMRMLThreeDViewDisplayableManagerFactory, THREED_MANAGERS, applicationLogic)
        self.logic = slicer.vtkMRMLViewLogic()
        self.logic.SetMRMLApplicationLogic(applicationLogic)
        applicationLogic.GetViewLogics().AddItem(self.logic)
        self.logic.SetMRMLScene(slicer.mrmlScene)
        self.node = self.logic.AddViewNode(name)
        self.managers.SetMRMLDisplayableNode(self.node)
        self.renderer.GradientBackgroundOn()
        self.renderer.SetBackground(0.756, 0.764, 0.909)
        self.renderer.SetBackground2(0.454, 0.470, 0.745)

    def fit(self):
        self.renderer.ResetCamera()
        self.renderer.ResetCameraClippingRange()
