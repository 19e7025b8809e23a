"""Run the command line: `python -m MIASSAMLib`."""

from __future__ import annotations

import sys

from MIASSAMLib.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
