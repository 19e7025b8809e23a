"""Let the event loop run while a test waits."""

import time

from PySide6 import QtCore, QtWidgets


class StillWaiting(AssertionError):
    """What a test waited for did not happen."""


def waitFor(condition, seconds=90.0, what=""):
    """Process events until ``condition()`` holds."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise StillWaiting(f"waited {seconds} s for {what or condition}")
        QtWidgets.QApplication.processEvents(QtCore.QEventLoop.AllEvents, 20)
        time.sleep(0.002)


def settle(seconds=0.05):
    """Process events for a while."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QtWidgets.QApplication.processEvents(QtCore.QEventLoop.AllEvents, 10)
