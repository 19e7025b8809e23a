"""The dialog that asks which of the loaded volumes are segmented, one after the other."""

import qt
from slicer.i18n import tr as _


class ChooseVolumesDialog:
    """Lists volumes to check; ``onAccepted(volumes)``."""

    def __init__(self, volumes, parent, onAccepted):
        self._volumes, self._onAccepted = volumes, onAccepted
        self.dialog = qt.QDialog(parent)
        self.dialog.setWindowTitle(_("Segment several volumes"))
        self.dialog.resize(420, 320)
        column = qt.QVBoxLayout(self.dialog)
        introduction = qt.QLabel(
            _("Check the volumes to segment, one after the other, with the bank, model and options of the panel.")
        )
        introduction.setWordWrap(True)
        column.addWidget(introduction)
        self.list = qt.QListWidget()
        for node in volumes:
            item = qt.QListWidgetItem(node.GetName())
            item.setFlags(qt.Qt.ItemIsUserCheckable | qt.Qt.ItemIsEnabled)
            item.setCheckState(qt.Qt.Checked)
            self.list.addItem(item)
        column.addWidget(self.list)
        self.buttons = qt.QDialogButtonBox()
        self.buttons.setStandardButtons(qt.QDialogButtonBox.Ok | qt.QDialogButtonBox.Cancel)
        column.addWidget(self.buttons)
        self.buttons.connect("accepted()", self._accept)
        self.buttons.connect("rejected()", self._reject)

    def open(self):
        self.dialog.open()

    def _accept(self):
        isChecked = [int(self.list.item(row).checkState()) == int(qt.Qt.Checked) for row in range(len(self._volumes))]
        chosen = [node for node, isChosen in zip(self._volumes, isChecked) if isChosen]
        self._reject()
        self._onAccepted(chosen)

    def _reject(self):
        self.dialog.close()
        self.dialog.deleteLater()
