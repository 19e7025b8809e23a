"""The results box: the slices found, the most unusual first."""

import qt
from slicer.i18n import tr as _


class ResultsTable:
    """Fills a QTableWidget with the findings of a record; a click tells which one."""

    def __init__(self, table, onChosen):
        self._table, self._onChosen = table, onChosen
        self._rows = []
        table.setColumnCount(4)
        table.setHorizontalHeaderLabels([_("Slice"), _("Anomaly"), _("Score"), _("Area (mm\u00b2)")])
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(22)
        table.horizontalHeader().setStretchLastSection(True)
        table.connect("cellClicked(int,int)", self._onCellClicked)

    def show(self, record):
        """Show the findings of a record, ranked by score; none for an empty record."""
        self._rows = sorted(
            ((result["index"], finding) for result in record.get("slices", ()) for finding in result["findings"]),
            key=lambda row: -(row[1]["score"] or 0.0),
        )
        self._table.setRowCount(len(self._rows))
        for number, (index, finding) in enumerate(self._rows):
            values = (str(index), str(finding["lesion"]), f"{finding['score']:.2f}", areaText(finding["area_mm2"]))
            for column, text in enumerate(values):
                self._table.setItem(number, column, qt.QTableWidgetItem(text))

    def _onCellClicked(self, row, _column):
        if 0 <= row < len(self._rows):
            self._onChosen(*self._rows[row])


def areaText(areaMm2):
    """Write an area with as many digits as are worth reading; in OCT it is far below 1."""
    return f"{areaMm2:.0f}" if areaMm2 >= 10 else f"{areaMm2:.2g}"
