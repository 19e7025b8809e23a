"""docs/acceptance.md names tests that exist."""

import re

from .conftest import REPOSITORY


def test_every_test_named_in_the_acceptance_list_exists():
    text = (REPOSITORY / "docs" / "acceptance.md").read_text(encoding="utf-8")
    files = {
        path.name: path.read_text(encoding="utf-8") for path in (REPOSITORY / "Testing" / "module").glob("test_*.py")
    }
    named = set(re.findall(r"`(test_\w+\.py)`", text))
    assert named <= set(files), named - set(files)
    code = "\n".join(files.values())
    missing = [name for name in re.findall(r"`(test_\w+)`", text) if f"def {name}(" not in code]
    assert not missing
    assert len(re.findall(r"^\| \d+ \|", text, re.MULTILINE)) == 27
