"""The dialog that asks what a new memory bank is built from and what it is called."""

import re
from dataclasses import dataclass, field

import qt
from slicer.i18n import tr as _

MODALITIES = ("mri", "ct", "oct")


@dataclass(frozen=True)
class BankDescription:
    """What the user wants to build.

    excludeMasks: volume node -> segmentation or label map whose marked slices are left out.
    """

    volumes: list
    name: str
    modality: str
    anatomy: str
    excludeMasks: dict = field(default_factory=dict)


class BuildBankDialog:
    """Asks for volumes, their exclusion masks, name, modality and anatomy; ``onAccepted(BankDescription)``."""

    def __init__(self, volumes, masks, parent, onAccepted):
        self._volumes, self._masks, self._onAccepted = volumes, masks, onAccepted
        self.dialog = qt.QDialog(parent)
        self.dialog.setWindowTitle(_("Build a memory bank"))
        self.dialog.resize(520, 420)
        form = qt.QFormLayout(self.dialog)
        introduction = qt.QLabel(
            _(
                "Check volumes of normal anatomy: every slice of them teaches what is normal. Where a volume is not "
                "normal throughout, choose a mask: the slices it marks are left out, and two on either side."
            )
        )
        introduction.setWordWrap(True)
        form.addRow(introduction)
        form.addRow(self._makeVolumeTable())
        self.nameEdit, self.anatomyEdit, self.modalityCombo = qt.QLineEdit(), qt.QLineEdit(), qt.QComboBox()
        self.nameEdit.placeholderText = _("such as Head FLAIR")
        for modality in MODALITIES:
            self.modalityCombo.addItem(modality.upper(), modality)
        form.addRow(_("Name:"), self.nameEdit)
        form.addRow(_("Modality:"), self.modalityCombo)
        form.addRow(_("Anatomy:"), self.anatomyEdit)
        self.buttons = qt.QDialogButtonBox()
        self.buttons.setStandardButtons(qt.QDialogButtonBox.Ok | qt.QDialogButtonBox.Cancel)
        form.addRow(self.buttons)
        self.buttons.connect("accepted()", self._accept)
        self.buttons.connect("rejected()", self._reject)
        self.nameEdit.connect("textChanged(QString)", self._update)
        self.volumeTable.connect("itemChanged(QTableWidgetItem*)", self._update)
        self._update()

    def _makeVolumeTable(self):
        table = qt.QTableWidget(len(self._volumes), 2)
        table.setHorizontalHeaderLabels([_("Volume"), _("Leave out what is marked in")])
        table.horizontalHeader().setSectionResizeMode(qt.QHeaderView.Stretch)
        table.verticalHeader().hide()
        for row, node in enumerate(self._volumes):
            item = qt.QTableWidgetItem(node.GetName())
            item.setFlags(qt.Qt.ItemIsUserCheckable | qt.Qt.ItemIsEnabled)
            item.setCheckState(qt.Qt.Unchecked)
            table.setItem(row, 0, item)
            combo = qt.QComboBox()
            combo.addItem(_("nothing"))
            for mask in self._masks:
                combo.addItem(mask.GetName())
            table.setCellWidget(row, 1, combo)
        self.volumeTable = table
        return table

    def open(self):
        self.dialog.open()

    def chosenVolumes(self):
        """Return the checked volumes."""
        return [self._volumes[row] for row in self._chosenRows()]

    def chosenMasks(self):
        """Return checked volume -> mask, where one is chosen."""
        places = {row: int(self.volumeTable.cellWidget(row, 1).currentIndex) - 1 for row in self._chosenRows()}
        return {self._volumes[row]: self._masks[place] for row, place in places.items() if place >= 0}

    def _chosenRows(self):
        items = [self.volumeTable.item(row, 0) for row in range(len(self._volumes))]
        return [row for row, item in enumerate(items) if int(item.checkState()) == int(qt.Qt.Checked)]

    def _update(self, _changed=None):
        isReady = bool(self._chosenRows()) and re.fullmatch(r"[\w .-]*\w", self.nameEdit.text) is not None
        self.buttons.button(qt.QDialogButtonBox.Ok).enabled = isReady

    def _accept(self):
        modality = str(self.modalityCombo.itemData(self.modalityCombo.currentIndex))
        chosen = BankDescription(
            self.chosenVolumes(), str(self.nameEdit.text), modality, str(self.anatomyEdit.text), self.chosenMasks()
        )
        self._reject()
        self._onAccepted(chosen)

    def _reject(self):
        self.dialog.close()
        self.dialog.deleteLater()
