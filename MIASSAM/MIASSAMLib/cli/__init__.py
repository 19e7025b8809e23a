"""The command line `miassam`; loads nothing heavy before a command needs it."""

from .main import main

__all__ = ["main"]
