"""Segment many volumes in Slicer without its window.

Slicer --no-main-window --python-script MIASSAM/Scripts/batch.py -- INPUT... --bank NAME.bank --output DIR [options]

It is ``miassam segment`` in Slicer's own Python: the same options, masks, files and tables. Never opens a dialog.
A bad input is one failed row of cases.csv and the others go on. Exit code: 0 all done, 1 some failed, 2 wrong use
or packages missing.
On Linux Slicer needs an X server even without its window: run it under ``xvfb-run``.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from MIASSAMSlicerLib.batchRun import runAndExit

if __name__ == "__main__":
    runAndExit(sys.argv[1:])
