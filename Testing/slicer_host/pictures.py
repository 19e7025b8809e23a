"""Draw the pictures of the documentation: ``make pictures``.

``python -m slicer_host.pictures FOLDER [PICTURE...]`` draws some of them.

The module runs on the samples with the embedded model, from clicks on its panel and views, and what they show is
written to FOLDER. Takes some minutes; nothing is downloaded.
"""

import os
import sys
import tempfile
from pathlib import Path

import numpy as np

from .events import settle, waitFor
from .host import startHost

MODULE_FOLDER = Path(__file__).resolve().parents[2] / "MIASSAM"
VIEW_PX = 480
PANEL_PX = 500
GAP_PX = 3
PATIENCE_S = 900
SAMPLE_PICTURES = {
    "brain": ("module", "views", "corrected"),
    "liver": ("liver",),
    "retina": ("retina",),
}
PICTURES = tuple(picture for pictures in SAMPLE_PICTURES.values() for picture in pictures)


def main(folder, wanted=PICTURES):
    """Write pictures into a folder."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    host = startHost()
    sys.path.insert(0, str(MODULE_FOLDER))
    script = host.loadModule(MODULE_FOLDER / "MIASSAM.py")
    with tempfile.TemporaryDirectory() as data:
        os.environ["MIASSAM_DATA_FOLDER"] = data
        for index, (name, pictures) in enumerate(SAMPLE_PICTURES.items()):
            if set(pictures) & set(wanted):
                drawSample(host, script, index, name, folder)


def drawSample(host, script, index, name, folder):
    """Load and segment a sample from clicks, and write its pictures."""
    import slicer

    from .application import closeViews, openViews

    views = openViews(host.application, (VIEW_PX, VIEW_PX))
    panel = host.openWidget(script, "MIASSAM")
    panel.ui.sampleComboBox.currentIndex = index
    panel.ui.loadSampleButton.click()
    waitFor(lambda: panel.parameters.bankPath and not panel.jobs.isBusy, PATIENCE_S, "the sample and its bank")
    panel.ui.segmentButton.click()
    waitFor(lambda: panel.results is not None and not panel.jobs.isBusy, PATIENCE_S, "the results")
    panel.results.segmentation.CreateClosedSurfaceRepresentation()
    if name == "retina":  # a few mm; the box of the 3-D view would dwarf it
        views.threeDView.node.SetBoxVisible(False)
        views.threeDView.node.SetAxisLabelsVisible(False)
    views.resetThreeDViews()
    chooseFirstRow(panel)
    if name == "brain":
        save(folder / "views.png", drawViews(views))
        save(folder / "module.png", beside(drawPanel(panel), drawViews(views)))
        dragFirstPoint(panel)
        save(folder / "corrected.png", beside(drawPanel(panel), drawViews(views)))
    else:
        save(folder / f"{name}.png", beside(drawPanel(panel), drawViews(views)))
    host.closeWidget("MIASSAM")
    slicer.mrmlScene.Clear(0)
    closeViews(host.application)


def chooseFirstRow(panel):
    """Click the first row of the results, where there is one."""
    table = panel.ui.resultsTable
    if table.rowCount:
        table.setCurrentCell(0, 0)
        table.cellClicked.emit(0, 0)
    settle(0.3)


def dragFirstPoint(panel):
    """Drag the point of the first row a little, as the mouse does, and wait for the new outline."""
    import slicer
    from MIASSAMSlicerLib import cogPoints, volumes

    results, wanted = panel.results, panel.table._rows[0][0]["index"]
    links = [cogPoints.linkOf(results.points, n) for n in range(results.points.GetNumberOfControlPoints())]
    number = [link.sliceIndex for link in links].index(wanted)
    ijk = volumes.ijkFromWorld(results.inputVolume, cogPoints.worldPosition(results.points, number))
    position = volumes.worldFromIjk(results.inputVolume, ijk + np.array([5, 4, 0]))
    results.points.SetNthControlPointPositionWorld(number, *position)
    results.points.InvokeEvent(slicer.vtkMRMLMarkupsNode.PointEndInteractionEvent)
    settle(0.1)
    waitFor(lambda: not panel.corrections.isBusy, PATIENCE_S, "the new outline")
    settle(0.3)


def drawViews(views):
    """Return the four-up layout of Slicer, uint8 (height, width, 3)."""
    red, yellow, green = (views.sliceViews[name].array() for name in ("Red", "Yellow", "Green"))
    return above(beside(red, views.threeDView.array()), beside(green, yellow))


def drawPanel(panel):
    """Return the panel as it is on the screen, uint8 (height, width, 3)."""
    from PySide6 import QtGui

    widget = panel.parent
    widget.resize(PANEL_PX, 2 * VIEW_PX + GAP_PX)
    settle(0.3)
    image = widget.grab().toImage().convertToFormat(QtGui.QImage.Format_RGB888)
    rows = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine())
    return rows[:, : 3 * image.width()].reshape(image.height(), image.width(), 3).copy()


def beside(left, right):
    """Put two pictures side by side."""
    height = max(len(left), len(right))
    padded = [np.pad(each, ((0, height - len(each)), (0, 0), (0, 0)), constant_values=239) for each in (left, right)]
    gap = np.full((height, GAP_PX, 3), 70, np.uint8)
    return np.concatenate([padded[0], gap, padded[1]], axis=1)


def above(upper, lower):
    """Put one picture above another."""
    return np.concatenate([upper, np.full((GAP_PX, upper.shape[1], 3), 70, np.uint8), lower])


def save(path, picture):
    """Write a picture as PNG."""
    from PySide6 import QtGui

    data = np.ascontiguousarray(picture)
    height, width, _ = data.shape
    image = QtGui.QImage(data.data, width, height, 3 * width, QtGui.QImage.Format_RGB888)
    if not image.save(str(path)):
        raise OSError(f"{path} could not be written; check that its folder is there and the disk has room")


if __name__ == "__main__":
    if len(sys.argv) < 2 or set(sys.argv[2:]) - set(PICTURES):
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:] or PICTURES)
