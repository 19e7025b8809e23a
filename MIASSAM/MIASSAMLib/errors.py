"""Errors whose text is written for the person at the keyboard.

Every message says what came, what was wanted and what to do.
"""

from __future__ import annotations


class MiassamError(Exception):
    """Base of every error this package raises on purpose."""


class UsageError(MiassamError):
    """The command or call itself is off (exit code 2)."""


class InputError(MiassamError):
    """A volume, label or folder given by the user cannot be used."""


class BankError(MiassamError):
    """A memory bank is missing, damaged or cannot be built."""


class BankMismatchError(BankError):
    """A memory bank was built with another model, config or dimension."""


class CheckpointError(MiassamError):
    """A model checkpoint is missing, damaged or of another architecture."""


class Cancelled(MiassamError):
    """The user asked to stop; raised from a progress callback."""
