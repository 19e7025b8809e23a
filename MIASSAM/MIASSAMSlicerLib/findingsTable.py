"""The findings as a table node: one row per anomaly, to be read, copied and saved."""

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from . import anomalySegments, segmentVoxels
from .resultNodes import TABLE, ensureResultNode
from .volumes import ijkToWorld, voxelMl

UNKNOWN = ""
"""What stands where a number is not known."""


def writeTable(results):
    """Write what a run found, one row per anomaly, into the table of the results."""
    name = _("{name} anomaly table").format(name=results.inputVolume.GetName())
    results.table = ensureResultNode(results.inputVolume, TABLE, name)
    own = anomalySegments.ownSegments(results.segmentation)
    rows = [_row(results, lesion, own[lesion]) for lesion in sorted(own)]
    _fill(results.table, results.record.get("heat_unit", ""), rows)


def updateSegment(results, segmentID):
    """Write the row of a corrected anomaly anew."""
    segment = results.segmentation.GetSegmentation().GetSegment(segmentID)
    lesion = anomalySegments.tagOf(segment, anomalySegments.LESION_TAG)
    if results.table is None or not lesion:
        return
    row, table = _row(results, int(lesion), segmentID), results.table.GetTable()
    for number in range(table.GetNumberOfRows()):
        if table.GetValue(number, 0).ToString() == lesion:
            for column, value in enumerate(row):
                table.SetValue(number, column, vtk.vtkVariant(value))
            results.table.Modified()
            return
    results.table.AddEmptyRow()
    for column, value in enumerate(row):
        table.SetValue(table.GetNumberOfRows() - 1, column, vtk.vtkVariant(value))
    results.table.Modified()


def _row(results, lesion, segmentID):
    """Return the cells of an anomaly as text, measured from its voxels as they are now."""
    from MIASSAMLib.diameters import main_part, widest  # with scipy, which opening the module must not wait for

    volume, axis = results.inputVolume, results.sliceAxis
    _lows, part = segmentVoxels.readPart(results.segmentation, segmentID, volume)
    slices = anomalySegments.slicesOf(results.segmentation, segmentID, volume, axis)
    scores = [
        finding["score"] or 0.0
        for each in results.record["slices"]
        for finding in each["findings"]
        if finding["lesion"] == lesion
    ]
    spacing = np.linalg.norm(ijkToWorld(volume)[:3, :3], axis=0)
    size = widest(main_part(part)[0], spacing, axis) if part.any() else None
    return [
        str(lesion),
        f"{part.sum() * voxelMl(ijkToWorld(volume)):.3f}",
        f"{size.longest:.1f}" if size else UNKNOWN,
        f"{size.perpendicular:.1f}" if size else UNKNOWN,
        str(len(slices)),
        f"{slices[0]}-{slices[-1]}" if slices else UNKNOWN,
        f"{max(scores):.4g}" if scores else UNKNOWN,
    ]


def _fill(node, unit, rows):
    heads = (
        _("anomaly"),
        _("volume (ml)"),
        _("longest diameter (mm)"),
        _("perpendicular diameter (mm)"),
        _("slices"),
        _("from-to"),
        _("score ({unit})").format(unit=unit) if unit else _("score"),
    )
    wasModified = node.StartModify()
    node.RemoveAllColumns()
    for number, head in enumerate(heads):
        column = vtk.vtkStringArray()
        column.SetName(head)
        for row in rows:
            column.InsertNextValue(row[number])
        node.AddColumn(column)
    node.EndModify(wasModified)


def saveTable(results, path):
    """Save the table as CSV, or TSV where the name says so; return whether the file was written."""
    return bool(slicer.util.saveNode(results.table, str(path)))
