"""Write where the repository lies into the catalog entries, once it is published.

``python Testing/module/setRepository.py https://github.com/OWNER/SlicerMIASSAM``

Until then they name `PLACEHOLDER`, an address that is reserved for examples and leads nowhere.
"""

import re
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = ("CMakeLists.txt", "MIASSAM.s4ext", "MIASSAM.json")
PLACEHOLDER = "https://example.org/SlicerMIASSAM"


def currentAddress(folder=REPOSITORY):
    """Return the address that the CMake project names as its home page."""
    text = (folder / "CMakeLists.txt").read_text(encoding="utf-8")
    return re.search(r'set\(EXTENSION_HOMEPAGE "([^"]*)"\)', text)[1]


def setAddress(address, folder=REPOSITORY):
    """Replace the current address in all three files."""
    old = currentAddress(folder)
    for name in FILES:
        path = folder / name
        path.write_text(path.read_text(encoding="utf-8").replace(old, address.rstrip("/")), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].startswith("https://"):
        sys.exit(__doc__)
    setAddress(sys.argv[1])
