"""The batch run: ``miassam segment`` in Slicer's own Python, so that masks, records and tables are the same."""

import logging
import os
import subprocess
import sys
import threading

import slicer
from slicer.i18n import tr as _

from . import dependencies
from .errors import ModuleError
from .workerSession import LIBRARY_FOLDER, childOptions, consolePython

DONE, SOME_FAILED, WRONG_USE = 0, 1, 2
_START = "import sys; sys.path.insert(0, sys.argv.pop(1)); from MIASSAMLib.__main__ import main; sys.exit(main())"


def runAndExit(arguments):
    """Run the batch and end the application with its exit code, whatever happens: nobody sees a window to close."""
    code = SOME_FAILED
    try:
        code = main(arguments)
    except Exception:  # the border of the application: a Slicer without a window must not stay behind
        logging.exception(_("The batch run failed."))
    finally:
        slicer.util.exit(code)


def main(arguments):
    """Run the batch and return the exit code of ``miassam segment``."""
    words = [word for word in arguments if word != "--"]
    try:
        dependencies.ensurePackages(None)
        return runCommandLine(["segment", *words])
    except (ModuleError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return WRONG_USE


def runCommandLine(words):
    """Run the library's command line in a child process; pass on what it says and return its exit code."""
    child = subprocess.Popen(
        [consolePython(), "-u", "-c", _START, str(LIBRARY_FOLDER), *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        **childOptions(),
    )
    errors = threading.Thread(target=_passOn, args=(child.stderr, sys.stderr), daemon=True)
    errors.start()
    _passOn(child.stdout, sys.stdout)
    errors.join()
    return child.wait()


def _passOn(source, target):
    for line in source:
        target.write(line.decode("utf-8", "replace"))
        target.flush()
