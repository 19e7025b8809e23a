"""The tables of a run, written row by row: a run that is killed leaves the rows of what was done."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..files import reason, write_text

CASE_COLUMNS = (
    "case", "source", "status", "reason", "device", "n_slices", "n_segmented_slices", "n_lesions", "volume_ml",
    "top_slice", "seconds",
)  # fmt: skip
LAST_CASE_COLUMNS = ("notes", "summary", "picture")
"""A run's own columns (the demo's Dice) stand between these and the first ones."""
LESION_COLUMNS = (
    "case", "lesion", "volume_ml", "n_voxels", "longest_diameter_mm", "perpendicular_diameter_mm", "diameter_slice",
    "n_parts", "mean_score", "peak_score", "score_unit", "centroid_ras_x_mm", "centroid_ras_y_mm",
    "centroid_ras_z_mm", "side", "region_share", "first_slice", "last_slice", "n_slices",
)  # fmt: skip
SLICE_COLUMNS = (
    "case", "slice", "image_score", "tail_probability", "n_findings", "lesions", "area_px", "area_mm2", "peak_score",
    "note",
)  # fmt: skip

_FORMULA = ("=", "+", "-", "@")
"""A spreadsheet runs a text that begins so."""


@dataclass(frozen=True)
class Table:
    """A CSV file of fixed columns (UTF-8, comma, header), whose rows belong to cases."""

    path: Path
    columns: tuple[str, ...]

    def open(self) -> frozenset[str]:
        """Make the file with its header, or take the one an earlier run left; return the cases it holds.

        Raises:
            UsageError: the file is no table of these columns, or cannot be read or written.
        """
        if not self.path.exists():
            write_text(self.path, self._lines([self._header]))
        with _disk_in_words(self.path):
            text = self.path.read_text(encoding="utf-8", errors="replace")
        if text.partition("\n")[0] != ",".join(self.columns):
            raise UsageError(
                f"{self.path} has other columns than this version writes, so it cannot be extended; "
                "move it away, or choose another output folder"
            )
        if not text.endswith("\n"):  # the last row of a killed run
            write_text(self.path, text[: text.rindex("\n") + 1])
        return frozenset(row["case"] for row in self.read())

    def put(self, case: str, rows: Iterable[Mapping[str, Any]], replaces: bool = False) -> None:
        """Add the rows of a case at the end, in one step; `replaces` takes out those the table has of it.

        Raises:
            UsageError: the file cannot be read or written.
        """
        if replaces:
            kept = [row for row in self.read() if row["case"] != case]
            write_text(self.path, self._lines([self._header, *kept, *rows]))
            return
        with _disk_in_words(self.path), self.path.open("ab", buffering=0) as file:
            file.write(self._lines(rows).encode())

    def read(self) -> list[dict[str, str]]:
        """Return all rows as texts.

        Raises:
            UsageError: the file cannot be read.
        """
        with _disk_in_words(self.path), self.path.open(newline="", encoding="utf-8") as file:
            return [
                {key: _without_apostrophe(value or "") for key, value in row.items() if key}
                for row in csv.DictReader(file)
            ]

    @property
    def _header(self) -> dict[str, str]:
        return dict(zip(self.columns, self.columns))

    def _lines(self, rows: Iterable[Mapping[str, Any]]) -> str:
        text = io.StringIO()
        writer = csv.DictWriter(text, self.columns, restval="", lineterminator="\n")
        writer.writerows({key: _cell(value) for key, value in row.items()} for row in rows)
        return text.getvalue()


def own_columns(folder: Path) -> tuple[str, ...]:
    """Return the further columns that the cases of an earlier run in a folder have."""
    try:
        header = (folder / "cases.csv").read_text(encoding="utf-8", errors="replace").partition("\n")[0].split(",")
    except OSError:
        return ()
    is_known = tuple(header[: len(CASE_COLUMNS)]) == CASE_COLUMNS
    return tuple(header[len(CASE_COLUMNS) : -len(LAST_CASE_COLUMNS)]) if is_known else ()


def run_tables(folder: Path, own_columns: Sequence[str] = ()) -> tuple[Table, Table, Table]:
    """Return the tables of a run: cases, lesions and slices; `own_columns` are further columns of the cases."""
    return (
        Table(folder / "cases.csv", (*CASE_COLUMNS, *own_columns, *LAST_CASE_COLUMNS)),
        Table(folder / "lesions.csv", LESION_COLUMNS),
        Table(folder / "slices.csv", SLICE_COLUMNS),
    )


@contextmanager
def _disk_in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"{path}: {reason(error)}; free the place or choose another output folder") from error


def _cell(value: Any) -> Any:
    """Return what a spreadsheet may see: one line, and no text that it would run as a formula."""
    if value is None:
        return ""
    if not isinstance(value, str):
        return value
    line = " ".join(value.split("\r")).replace("\n", " ")
    return f"'{line}" if line.startswith(_FORMULA) else line


def _without_apostrophe(text: str) -> str:
    return text[1:] if text.startswith("'") and text[1:].startswith(_FORMULA) else text
