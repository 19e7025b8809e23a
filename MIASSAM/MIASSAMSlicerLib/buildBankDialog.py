"""The dialog that asks what a new memory bank is built from and what it is called."""

import re

import qt
from slicer.i18n import tr as _

MODALITIES = ("mri", "ct", "oct")


class BuildBankDialog:
    """Asks for volumes, name, modality and anatomy; ``onAccepted(volumes, name, modality, anatomy)``."""

    def __init__(self, volumes, parent, onAccepted):
        self._volumes, self._onAccepted = volumes, onAccepted
        self.dialog = qt.QDialog(parent)
        self.dialog.setWindowTitle(_("Build a memory bank"))
        form = qt.QFormLayout(self.dialog)
        form.addRow(qt.QLabel(_("Choose volumes of normal anatomy. Every slice of them teaches what is normal.")))
        self.volumeList = qt.QListWidget()
        for node in volumes:
            item = qt.QListWidgetItem(node.GetName())
            item.setFlags(qt.Qt.ItemIsUserCheckable | qt.Qt.ItemIsEnabled)
            item.setCheckState(qt.Qt.Unchecked)
            self.volumeList.addItem(item)
        form.addRow(self.volumeList)
        self.nameEdit = qt.QLineEdit()
        self.anatomyEdit = qt.QLineEdit()
        self.modalityCombo = qt.QComboBox()
        for modality in MODALITIES:
            self.modalityCombo.addItem(modality.upper(), modality)
        form.addRow(_("Name:"), self.nameEdit)
        form.addRow(_("Modality:"), self.modalityCombo)
        form.addRow(_("Anatomy:"), self.anatomyEdit)
        self.buttons = qt.QDialogButtonBox(qt.QDialogButtonBox.Ok | qt.QDialogButtonBox.Cancel)
        form.addRow(self.buttons)
        self.buttons.connect("accepted()", self._accept)
        self.buttons.connect("rejected()", self._reject)
        self.nameEdit.connect("textChanged(QString)", self._update)
        self.volumeList.connect("itemChanged(QListWidgetItem*)", self._update)
        self._update()

    def open(self):
        self.dialog.open()

    def chosenVolumes(self):
        """Return the checked volumes."""
        return [
            node
            for row, node in enumerate(self._volumes)
            if int(self.volumeList.item(row).checkState()) == int(qt.Qt.Checked)
        ]

    def _update(self):
        isReady = bool(self.chosenVolumes()) and re.fullmatch(r"[\w .-]*\w", self.nameEdit.text) is not None
        self.buttons.button(qt.QDialogButtonBox.Ok).enabled = isReady

    def _accept(self):
        modality = str(self.modalityCombo.itemData(self.modalityCombo.currentIndex))
        chosen = self.chosenVolumes(), str(self.nameEdit.text), modality, str(self.anatomyEdit.text)
        self._reject()
        self._onAccepted(*chosen)

    def _reject(self):
        self.dialog.close()
        self.dialog.deleteLater()
