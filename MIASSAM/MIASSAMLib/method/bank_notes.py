"""What is said beside a result: its bounds, and a bank that probably does not fit, so that none is used in silence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .prepare import PreparedVolume


def bank_notes(bank_words: Mapping[str, Any], prepared: PreparedVolume) -> tuple[str, ...]:
    """Return what bounds the result: the region, a bank's extent and the way its slices were cut.

    bank_words: what a record says about its bank.
    """
    notes = []
    if prepared.is_bounded:
        notes.append("only the region was compared and marked")
    axis, plane = bank_words.get("slice_axis", ""), prepared.plane
    if axis in ("axial", "coronal", "sagittal") and axis != plane.orientation:
        notes.append(
            f"slices are {plane.orientation} but the bank's are {axis}: normal tissue looks unusual then; "
            f"use a bank of {plane.orientation} slices"
        )
    if bank_words.get("n_volumes") == 1:
        notes.append(
            "the bank knows one volume only: where people differ may be marked as unusual; build it from more"
        )
    return tuple(notes)


def known_volume_note(known: Mapping[str, str], digest: str) -> tuple[str, ...]:
    """Return a warning when a volume is one of those that the bank was built from.

    known: SHA-256 -> name of the bank's volumes. digest: the volume's, as a build takes it; "" = not known.
    """
    if digest not in known:
        return ()
    return (f"the bank was built from this very volume ({known[digest]}): what is abnormal in it may count as normal",)
