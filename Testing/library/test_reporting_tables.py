"""Tables and report of a run: complete, self-contained, escaped, extended and never lost."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import MIASSAMLib
import pytest
from library.test_reporting_pictures import make_case
from MIASSAMLib.errors import UsageError
from MIASSAMLib.outputs import (
    RunWriter,
    case_record,
    case_row,
    failed_record,
    lesion_rows,
    render_page,
    slice_rows,
    without_paths,
)
from MIASSAMLib.outputs.record import RESEARCH_USE
from PIL import Image

TABLES = ("cases.csv", "lesions.csv", "slices.csv")
NAME = "påt <script>alert(1)</script>"


def record_of(name: str = "pat", **options) -> dict:
    """Return the record of a small case, as JSON gives it back."""
    record = case_record(make_case(**options), "ab" * 32)
    return json.loads(json.dumps({**record, "case": name, "source": f"/data/ward 7/{name}.nii.gz"}))


def rows_in(path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def page_of(tmp_path, *records, run=None, own=None) -> str:
    with RunWriter(tmp_path, run, tuple(own or ())) as writer:
        for record in records:
            writer.add(record, own)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_rows_follow_from_the_record_alone_wherever_it_is_read():
    """Batch in Slicer and the command line wrote different tables: rows are now made of the record only."""
    direct = case_record(make_case(), "ab" * 32)
    told = json.loads(json.dumps(direct, allow_nan=False))
    assert told == direct
    assert [case_row(told), lesion_rows(told), slice_rows(told)] == [
        case_row(direct), lesion_rows(direct), slice_rows(direct),
    ]  # fmt: skip


def test_tables_have_one_row_a_case_a_lesion_and_a_slice_with_units_in_their_headers(tmp_path):
    page_of(
        tmp_path, record_of("b", lesion_on=(1, 2)), record_of("a", lesion_on=()), failed_record("c", "c.nii", "cut")
    )
    cases, lesions, slices = (rows_in(tmp_path / name) for name in TABLES)
    assert [(row["case"], row["status"], row["n_lesions"]) for row in cases] == [
        ("b", "done", "1"), ("a", "done", "0"), ("c", "failed", ""),
    ]  # fmt: skip
    assert cases[0]["volume_ml"] == "0.8" and cases[2]["reason"] == "cut"
    (lesion,) = lesions
    assert (lesion["case"], lesion["first_slice"], lesion["last_slice"], lesion["n_slices"]) == ("b", "1", "2", "2")
    assert {"volume_ml", "longest_diameter_mm", "perpendicular_diameter_mm", "mean_score", "peak_score"} <= set(lesion)
    assert {"centroid_ras_x_mm", "centroid_ras_y_mm", "centroid_ras_z_mm", "region_share", "side"} <= set(lesion)
    assert len(slices) == 10 and slices[1]["lesions"] == "1" and slices[1]["area_mm2"] == "100.0"


def test_every_run_has_the_same_columns(tmp_path):
    headers = []
    for number, record in enumerate((record_of(), failed_record("x", "x.nii", "bad"), record_of(lesion_on=()))):
        (tmp_path / str(number)).mkdir()
        page_of(tmp_path / str(number), record)
        headers.append([(tmp_path / str(number) / name).read_text().splitlines()[0] for name in TABLES])
    assert headers[0] == headers[1] == headers[2]


def test_a_killed_run_leaves_the_rows_of_what_is_done(tmp_path):
    (tmp_path / "record.json").write_text(json.dumps(record_of()))
    program = (
        "import json, os, pathlib, sys; from MIASSAMLib.outputs import RunWriter; folder = pathlib.Path(sys.argv[1]);"
        "record = json.loads((folder / 'record.json').read_text());"
        "writer = RunWriter(folder); writer.add(record); os.kill(os.getpid(), 9)"
    )
    environment = {"PYTHONPATH": str(Path(MIASSAMLib.__file__).parents[1])}
    assert subprocess.run([sys.executable, "-c", program, str(tmp_path)], env=environment).returncode == -9
    assert [len(rows_in(tmp_path / name)) for name in TABLES] == [1, 1, 5]
    with (tmp_path / "cases.csv").open("a") as file:
        file.write("half,a row")
    page_of(tmp_path, record_of("next"))
    assert [row["case"] for row in rows_in(tmp_path / "cases.csv")] == ["pat", "next"]


def test_an_earlier_table_is_extended_and_a_case_that_comes_again_is_replaced(tmp_path):
    page_of(tmp_path, record_of("a", lesion_on=(1,)), record_of("b"))
    page = page_of(tmp_path, record_of("c"), record_of("a", lesion_on=()))
    assert [row["case"] for row in rows_in(tmp_path / "cases.csv")] == ["b", "c", "a"]
    assert [row["case"] for row in rows_in(tmp_path / "lesions.csv")] == ["b", "c"]
    assert len(rows_in(tmp_path / "slices.csv")) == 15
    assert "3 cases: 2 with an anomaly, 1 without, 0 failed" in page


def test_a_table_of_other_columns_is_refused_and_kept(tmp_path):
    (tmp_path / "cases.csv").write_text("case,image,mask\nmine,a,b\n")
    with pytest.raises(UsageError, match="other columns .* move it away, or choose another output folder"):
        RunWriter(tmp_path)
    assert (tmp_path / "cases.csv").read_text() == "case,image,mask\nmine,a,b\n"


def test_names_that_a_spreadsheet_would_run_are_defused_and_lines_stay_whole(tmp_path):
    page = page_of(tmp_path, failed_record('=HYPERLINK("x")', "+a.nii", "one\rtwo\nthree"), record_of('@b, "c"'))
    text = (tmp_path / "cases.csv").read_bytes()
    assert b"\r" not in text and text.count(b"\n") == 3
    rows = rows_in(tmp_path / "cases.csv")
    assert (rows[0]["case"], rows[0]["source"], rows[0]["reason"]) == ('\'=HYPERLINK("x")', "'+a.nii", "one two three")
    assert rows[1]["case"] == '\'@b, "c"'
    assert "<h2>=HYPERLINK(&#34;x&#34;)</h2>" in page
    page_of(tmp_path, record_of('@b, "c"'))
    assert len(rows_in(tmp_path / "cases.csv")) == 2


def test_a_name_that_is_no_utf8_is_written(tmp_path):
    page_of(tmp_path, failed_record("bad\udce9", "bad\udce9.nii", "cut"))
    assert rows_in(tmp_path / "cases.csv")[0]["case"] == "bad\\udce9"


def test_no_paths_leaves_no_folder_in_a_record():
    record = {**record_of(), "notes": ["/data/ward 7/x.nii.gz was flipped"]}
    assert "ward" not in json.dumps(without_paths(record)) and without_paths(record)["source"] == "pat.nii.gz"
    failed = without_paths(failed_record("c", "/ward 7/c.nii", "/ward 7/c.nii: cut short"))
    assert (failed["source"], failed["reason"]) == ("c.nii", "c.nii: cut short")


def test_report_holds_its_pictures(tmp_path):
    Image.new("RGB", (1700, 900), (200, 40, 40)).save(tmp_path / "pat.png")
    page = page_of(tmp_path, record_of())
    (encoded,) = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", page)
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        assert picture.size == (1100, 582)
        red, green, _ = picture.getpixel((500, 300))
        assert red > 180 and green < 60
    assert not re.search(r"(src|href)=.(https?:|//|file:)", page)


def test_names_with_script_are_escaped_in_both_pages(tmp_path):
    bad = failed_record(NAME, f"/in/{NAME}.nii", f'{NAME}: "cut" short')
    page = page_of(tmp_path, {**record_of(), "case": NAME, "notes": [NAME]}, bad, run={"model": "</pre><script>"})
    row = {"name": NAME, "is_oracle": False, "cells": [(NAME, NAME)]}
    parts = [{"name": NAME, "titles": (NAME,), "rows": [row], "sheet": f"{NAME}.png"}]
    failed = [{"case": NAME, "reason": NAME}]
    other = render_page("evaluation.html", title=NAME, header=[NAME], parts=parts, failed=failed, how=NAME)
    for text in (page, other):
        assert "<script" not in text and "påt &lt;script&gt;alert(1)" in text


def test_report_says_what_it_is_and_links_the_files_that_are_there(tmp_path):
    (tmp_path / "påt 1.seg.nrrd").write_text("x")
    page = page_of(tmp_path, record_of("påt 1"), run={"preset": "refined"}, own={"dice": 0.91234})
    assert RESEARCH_USE in page and "&#34;preset&#34;: &#34;refined&#34;" in page
    assert "p%C3%A5t%201.seg.nrrd" in page and "_anomaly.nii.gz" not in page
    assert ">0.9123</td>" in page and ">Dice</th>" in page


def test_report_fits_1200_px(tmp_path):
    """The demo's thirteen columns ran out of the page: cells wrap, and the page is no wider than 1200 px."""
    page = page_of(tmp_path, record_of())
    assert int(re.search(r"max-width: (\d+)px", page).group(1)) <= 1200 - 2 * 16
    assert "img { max-width: 100%" in page and ".scroll { overflow-x: auto" in page


def test_tables_are_written_without_torch_where_slicer_writes_them():
    program = (
        "import sys; from MIASSAMLib.outputs import RunWriter, case_row, write_record;"
        "print(sorted({'torch', 'faiss', 'SimpleITK', 'PIL', 'nibabel', 'jinja2'} & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": str(Path(MIASSAMLib.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
