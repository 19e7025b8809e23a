"""The results box: the slices found, the most unusual first."""

import qt
from slicer.i18n import tr as _

from .units import scoreText, shortUnit, tailInWords, unitInWords


class ResultsTable:
    """Fills a QTableWidget with the findings of a record; a click tells which one."""

    def __init__(self, table, onChosen):
        self._table, self._onChosen = table, onChosen
        self._rows = []
        table.setColumnCount(4)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(22)
        table.horizontalHeader().setStretchLastSection(True)
        table.connect("cellClicked(int,int)", self._choose)
        table.connect("currentCellChanged(int,int,int,int)", self._onCurrentChanged)

    def step(self, by):
        """Choose the next finding, or with -1 the previous one; go round at the ends."""
        if self._rows:
            current = int(self._table.currentRow())
            first = 0 if by > 0 else len(self._rows) - 1
            self._table.setCurrentCell((current + by) % len(self._rows) if current >= 0 else first, 0)

    @property
    def currentSlice(self):
        """Slice of the chosen finding; None where none is chosen."""
        row = int(self._table.currentRow())
        return self._rows[row][0]["index"] if 0 <= row < len(self._rows) else None

    @property
    def currentLesion(self):
        """Lesion of the chosen finding; None where none is chosen."""
        row = int(self._table.currentRow())
        return self._rows[row][1]["lesion"] if 0 <= row < len(self._rows) else None

    def renew(self, record):
        """Show the findings after a correction; the chosen one stays chosen, and no view moves."""
        chosen = self.currentSlice, self.currentLesion
        wasBlocked = self._table.blockSignals(True)
        self.show(record)
        places = [(each["index"], finding["lesion"]) for each, finding in self._rows]
        if chosen in places:
            self._table.setCurrentCell(places.index(chosen), 0)
        self._table.blockSignals(wasBlocked)

    def show(self, record):
        """Show the findings of a record, ranked by score; none for an empty record."""
        self._rows = sorted(
            ((each, finding) for each in record.get("slices", ()) for finding in each["findings"]),
            key=lambda row: -(row[1]["score"] or 0.0),
        )
        self._showHeads(record.get("heat_unit", ""))
        self._table.setCurrentCell(-1, -1)
        self._table.setRowCount(len(self._rows))
        for number, (each, finding) in enumerate(self._rows):
            texts = str(each["index"]), str(finding["lesion"]), scoreText(finding["score"] or 0.0)
            for column, text in enumerate((*texts, areaText(finding["area_mm2"]))):
                item = qt.QTableWidgetItem(text)
                item.setToolTip(tailInWords(each.get("tail_probability")))
                self._table.setItem(number, column, item)

    def _showHeads(self, unit):
        score = _("Score ({unit})").format(unit=shortUnit(unit)) if unit else _("Score")
        self._table.setHorizontalHeaderLabels([_("Slice"), _("Anomaly"), score, _("Area (mm\u00b2)")])
        self._table.horizontalHeaderItem(2).setToolTip(
            _("Highest value of the heat map in this part: {unit}").format(unit=unitInWords(unit))
        )

    def _onCurrentChanged(self, row, _column, previousRow, _previousColumn):
        """The arrow keys; a click on the row that is chosen already comes as a click only."""
        if row != previousRow:
            self._choose(row)

    def _choose(self, row):
        if 0 <= row < len(self._rows):
            each, finding = self._rows[row]
            self._onChosen(each["index"], finding)


def areaText(areaMm2):
    """Write an area with as many digits as are worth reading; in OCT it is far below 1."""
    for least, digits in ((10, 0), (1, 1), (0.1, 2)):
        if areaMm2 >= least:
            return f"{areaMm2:.{digits}f}"
    return f"{areaMm2:.2g}"
