"""The page of the Python API runs as it is written, and the links of all pages lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from MIASSAMLib.phantoms import Grid, default_grid, make_phantom
from MIASSAMLib.volume_io import write_volume

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def small_grid() -> Grid:
    """Eight slices of 96 x 96 pixels over the body of a brain phantom."""
    spacing = np.linalg.norm(default_grid("brain").ijk_to_ras[:3, :3], axis=0)
    extent = spacing * default_grid("brain").shape_kji[::-1]
    return Grid.centered((8, 96, 96), tuple(float(one) for one in extent / (96, 96, 8)))


def broken_links(page: Path) -> list[str]:
    """Return the relative links of a page, code aside, that name no file."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    targets = re.findall(r"\]\(([^)\s]+)\)", text)
    local = [one.partition("#")[0] for one in targets if not re.match(r"[a-z]+:|#", one)]
    return [one for one in local if not (page.parent / one).exists()]


def test_the_python_page_runs_as_it_is_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for seed in (1, 2, 3):
        write_volume(tmp_path / f"normal_{seed}.nii.gz", make_phantom("brain", seed, grid=small_grid()).volume)
    write_volume(tmp_path / "patient.nii.gz", make_phantom("brain", 7, n_lesions=1, grid=small_grid()).volume)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"docs/python.md, block {number}", "exec"), names)  # noqa: S102
    assert (tmp_path / "results" / "patient.seg.nrrd").is_file() and names["record"]["status"] == "done"
    assert names["result"].labels_kji.dtype == np.uint16 and names["finding"].mask.any()
    assert str(names["result"].n_lesions) in capsys.readouterr().out


def test_every_relative_link_of_a_page_leads_to_a_file():
    broken = [f"{page.relative_to(ROOT)} -> {one}" for page in PAGES for one in broken_links(page)]
    assert len(PAGES) > 5 and not broken, "\n".join(broken)


def test_a_broken_link_is_seen(tmp_path):
    (tmp_path / "page.md").write_text("[a](there.md) [b](gone.md#part) [c](https://x.org/y) `[d](code.md)`", "utf-8")
    (tmp_path / "there.md").write_text("", "utf-8")
    assert broken_links(tmp_path / "page.md") == ["gone.md"]
