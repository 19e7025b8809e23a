"""What Slicer's own Python brings, by version: facts read from SuperBuild/External_python-*.cmake of each release.

``python Testing/slicer_host/bundled.py SLICER_SOURCE...`` prints the lists anew.
"""

import re
import sys
from pathlib import Path

BUNDLED = {
    "5.10": {
        "certifi": "2025.4.26",
        "cffi": "1.17.1",
        "chardet": "5.2.0",
        "charset-normalizer": "3.4.2",
        "couchdb": "1.2",
        "cryptography": "45.0.3",
        "deprecated": "1.2.18",
        "dicomweb-client": "0.60.0",
        "gitdb": "4.0.12",
        "gitpython": "3.1.44",
        "idna": "3.10",
        "numpy": "2.0.2",
        "packaging": "25.0",
        "pillow": "11.2.1",
        "pip": "25.1.1",
        "pycparser": "2.22",
        "pydicom": "2.4.4",
        "pygithub": "2.6.1",
        "pyjwt": "2.10.1",
        "pynacl": "1.5.0",
        "pyparsing": "3.2.3",
        "python-dateutil": "2.9.0.post0",
        "requests": "2.32.3",
        "retrying": "1.3.4",
        "scipy": "1.13.1",
        "setuptools": "80.9.0",
        "simpleitk": "2.5.0",
        "six": "1.17.0",
        "smmap": "5.0.2",
        "typing-extensions": "4.14.0",
        "urllib3": "2.4.0",
        "wheel": "0.45.1",
        "wrapt": "1.17.2",
    },
    "5.12": {
        "certifi": "2026.5.20",
        "cffi": "2.0.0",
        "chardet": "7.4.3",
        "charset-normalizer": "3.4.7",
        "couchdb": "1.2",
        "cryptography": "48.0.0",
        "dcmqi": "0.4.0",
        "deprecated": "1.3.1",
        "dicomweb-client": "0.61.0",
        "gitdb": "4.0.12",
        "gitpython": "3.1.50",
        "highdicom": "0.27.0",
        "idna": "3.16",
        "numpy": "2.4.6",
        "packaging": "26.2",
        "pillow": "12.2.0",
        "pip": "26.1.1",
        "pycparser": "3.0",
        "pydicom": "3.0.2",
        "pygithub": "2.9.1",
        "pyjpegls": "1.5.1",
        "pyjwt": "2.13.0",
        "pynacl": "1.6.2",
        "pyparsing": "3.3.2",
        "python-dateutil": "2.9.0.post0",
        "requests": "2.34.2",
        "retrying": "1.4.2",
        "scipy": "1.17.1",
        "setuptools": "82.0.1",
        "simpleitk": "2.5.5",
        "six": "1.17.0",
        "smmap": "5.0.3",
        "typing-extensions": "4.15.0",
        "urllib3": "2.7.0",
        "wheel": "0.47.0",
        "wrapt": "2.2.1",
    },
}


def readBundled(source):
    """Return package -> version from a Slicer source tree."""
    found = {}
    for path in sorted(Path(source).glob("SuperBuild/External_python-*.cmake")):
        text = path.read_text(encoding="utf-8")
        for name, version in re.findall(r"^\s*([A-Za-z0-9_.-]+)==([0-9][^ \n]*)", text, re.MULTILINE):
            found[name.lower().replace("_", "-")] = version
    return found


if __name__ == "__main__":
    for source in sys.argv[1:]:
        sys.stdout.write(f"{source}: {readBundled(source)}\n")
