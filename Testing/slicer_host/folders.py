"""Folders for temporary files, which go when the process ends."""

import atexit
import shutil
import tempfile


def temporaryFolder(words):
    """Make a folder and return its path; it is deleted when this process ends."""
    path = tempfile.mkdtemp(prefix=f"slicer-host-{words}-")
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path
