"""Only what Slicer brings, and what the module requires, can be imported in a child process of the tests.

Python runs this file by itself where its folder is on PYTHONPATH. MIASSAM_IMPORT_GATE lists the packages that may be
imported; the standard library and this project always may.
"""

import os
import sys
from importlib.machinery import PathFinder


class ImportGate:
    """Python's own finder of files, blind for what is installed but not on the list."""

    def __init__(self, allowed):
        self._allowed = allowed

    def find_spec(self, name, path=None, target=None):
        found = PathFinder.find_spec(name, path, target)
        top = name.partition(".")[0]
        if found is None or top in self._allowed or top in sys.stdlib_module_names:
            return found
        places = [found.origin or "", *(found.submodule_search_locations or ())]
        return None if any("site-packages" in place for place in places) else found

    def invalidate_caches(self):
        PathFinder.invalidate_caches()

    def find_distributions(self, *arguments, **named):
        return PathFinder.find_distributions(*arguments, **named)


if os.environ.get("MIASSAM_IMPORT_GATE"):
    gate = ImportGate(set(os.environ["MIASSAM_IMPORT_GATE"].split(",")))
    sys.meta_path[:] = [gate if finder is PathFinder else finder for finder in sys.meta_path]
