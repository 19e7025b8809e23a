"""Undo of corrections: what the points and the touched slice were before."""

from dataclasses import dataclass

UNDO_LIMIT = 50


@dataclass(frozen=True)
class Change:
    """One correction: the points before it and the slice parts it replaced.

    parts: (segment id, slice axis, slice index, voxels before), newest last.
    """

    points: dict
    parts: tuple = ()


class UndoStack:
    """The last corrections, newest on top."""

    def __init__(self):
        self._changes = []

    def __len__(self):
        return len(self._changes)

    def push(self, change):
        self._changes = [*self._changes, change][-UNDO_LIMIT:]

    def pop(self):
        return self._changes.pop()

    def clear(self):
        self._changes = []
