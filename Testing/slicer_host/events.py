"""Let the event loop run while a test waits, and note how long it was blocked."""

import os
import time

from PySide6 import QtCore, QtWidgets


class StillWaiting(AssertionError):
    """What a test waited for did not happen."""


def overbooked(seconds):
    """Stretch a promise made for a free machine by how many programs share each core of this one."""
    if not hasattr(os, "getloadavg"):
        return seconds
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


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
    """The longest time this thread worked without the event loop getting a turn.

    Counted in the thread's own CPU seconds, so that a busy test machine does not count.
    """

    def __enter__(self):
        self.longest, self._last = 0.0, time.thread_time()
        self._timer = QtCore.QTimer()
        self._timer.timeout.connect(self._tick)
        self._timer.start(5)
        return self

    def _tick(self):
        now = time.thread_time()
        self.longest, self._last = max(self.longest, now - self._last), now

    def __exit__(self, *_details):
        self._tick()
        self._timer.stop()
