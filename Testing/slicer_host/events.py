"""Let the event loop run while a test waits, and note how long it was blocked."""

import threading
import time
from pathlib import Path

from PySide6 import QtCore, QtWidgets


class StillWaiting(AssertionError):
    """What a test waited for did not happen."""


def fairClock():
    """Return seconds since some start, less those in which this thread was ready to run but had no core.

    Computing, sleeping and waiting for a child count in full; that other programs keep the machine busy does not.
    Linux counts that; elsewhere this is the plain clock.
    """
    counts = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
    withoutCore = int(counts.read_text().split()[1]) / 1e9 if counts.exists() else 0.0
    return time.monotonic() - withoutCore


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


class BlockMeter:
    """The longest time the event loop did not get a turn, by the fair clock."""

    def __enter__(self):
        self.longest, self._last = 0.0, fairClock()
        self._timer = QtCore.QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(5)
        return self

    def _tick(self):
        now = fairClock()
        self.longest, self._last = max(self.longest, now - self._last), now

    def __exit__(self, *_details):
        self._tick()
        self._timer.stop()
