"""Keys of the panel: they work while the module is open, in the views as well, and not in text fields."""

import qt


class PanelKeys:
    """Binds keys to slots; ``slots`` is key sequence -> function."""

    def __init__(self, slots):
        self._slots, self._shortcuts = slots, []

    def start(self, window):
        """Listen for the keys in a window."""
        self.stop()
        for key, slot in self._slots.items():
            shortcut = qt.QShortcut(qt.QKeySequence(key), window)
            shortcut.connect("activated()", slot)
            self._shortcuts.append(shortcut)

    def stop(self):
        """Listen no more."""
        for shortcut in self._shortcuts:
            shortcut.setParent(None)
            shortcut.deleteLater()
        self._shortcuts = []
