"""Undo of corrections: what the points and the touched slice were before."""

from dataclasses import dataclass

UNDO_LIMIT = 50


@dataclass(frozen=True)
class Change:
    """One correction: the points and the record's slices before it, and the slice parts it replaced.

    parts: (segment id, slice axis, slice index, voxels before), newest last.
    """

    points: dict
    slices: list
    parts: tuple = ()


class UndoStack:
    """The last corrections, newest on top, and what each slice was before the first of them."""

    def __init__(self):
        self.clear()

    def __len__(self):
        return len(self._changes)

    def push(self, change):
        self._changes = [*self._changes, change][-UNDO_LIMIT:]
        for segmentID, axis, index, before in change.parts:
            self._first.setdefault(index, {}).setdefault(segmentID, (segmentID, axis, index, before))
            self._states.setdefault(index, (change.points, change.slices))

    def pop(self):
        return self._changes.pop()

    def before(self, sliceIndex):
        """Return what a slice was before any correction, as a change without a place on the stack."""
        return Change(*self._states.get(sliceIndex, ({}, [])), tuple(self._first.get(sliceIndex, {}).values()))

    def clear(self):
        self._changes, self._first, self._states = [], {}, {}
