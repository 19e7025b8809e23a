"""The findings as a table node: one row per anomaly, to be read, copied and saved."""

import slicer
import vtk
from slicer.i18n import tr as _

from . import anomalySegments, segmentVoxels
from .resultNodes import TABLE, ensureResultNode
from .volumes import ijkToWorld, voxelMl

UNKNOWN = ""
"""What stands where a number is not known: diameters after a correction, until the next run."""


def writeTable(results):
    """Write what a run found, one row per anomaly, into the table of the results."""
    name = _("{name} anomaly table").format(name=results.inputVolume.GetName())
    results.table = ensureResultNode(results.inputVolume, TABLE, name)
    record = results.record
    measured = {each["lesion"]: each for each in record.get("lesions", ())}
    own = anomalySegments.ownSegments(results.segmentation)
    rows = [_row(results, lesion, own[lesion], measured.get(lesion, {})) for lesion in sorted(own)]
    _fill(results.table, record.get("heat_unit", ""), rows)


def updateSegment(results, segmentID):
    """Write the row of a corrected anomaly anew; its diameters are not known until the next run."""
    segment = results.segmentation.GetSegmentation().GetSegment(segmentID)
    lesion = anomalySegments.tagOf(segment, anomalySegments.LESION_TAG)
    if results.table is None or not lesion:
        return
    row, table = _row(results, int(lesion), segmentID, {}), results.table.GetTable()
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


def _row(results, lesion, segmentID, measured):
    """Return the cells of an anomaly as text."""
    volume, axis = results.inputVolume, results.sliceAxis
    lows, part = segmentVoxels.readPart(results.segmentation, segmentID, volume)
    others = tuple(other for other in range(3) if other != 2 - axis)
    slices = [int(n) + lows[2 - axis] for n in part.any(axis=others).nonzero()[0]] if part.size else []
    scores = [
        finding["score"] or 0.0
        for each in results.record["slices"]
        for finding in each["findings"]
        if finding["lesion"] == lesion
    ]
    return [
        str(lesion),
        f"{part.sum() * voxelMl(ijkToWorld(volume)):.3f}",
        _millimeters(measured.get("largest_diameter_mm")),
        _millimeters(measured.get("perpendicular_diameter_mm")),
        str(len(slices)),
        f"{slices[0]}-{slices[-1]}" if slices else UNKNOWN,
        f"{max(scores):.4g}" if scores else UNKNOWN,
    ]


def _millimeters(value):
    return UNKNOWN if value is None else f"{value:.1f}"


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
