"""Put measured results into docs/benchmarks.md: python benchmarks/to_docs.py RESULT_FOLDER...

Each folder was written by `miassam bench --output FOLDER`; their rows are shown together, in order.
The text of the page outside the two markers is kept.
"""

from __future__ import annotations

import sys
from pathlib import Path

from miassam_bench.report import draw_ratios, report_text
from miassam_bench.rows import BENCH_FILE, read_rows

DOCS = Path(__file__).parents[1] / "docs"
BEGIN, END = "<!-- results begin -->", "<!-- results end -->"


def main(folders: list[Path]) -> int:
    page, rows, parts = DOCS / "benchmarks.md", [], []
    for folder in folders:
        machine, found = read_rows(folder / BENCH_FILE)
        rows += found
        parts.append(report_text(found, machine))
    draw_ratios(rows, DOCS / "images" / "benchmarks.png")
    before, rest = page.read_text(encoding="utf-8").split(BEGIN)
    after = rest.split(END)[1]
    picture = "![Times faster than the plain way](images/benchmarks.png)"
    page.write_text(f"{before}{BEGIN}\n\n{picture}\n\n" + "\n".join(parts) + f"\n{END}{after}", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main([Path(word) for word in sys.argv[1:]]))
