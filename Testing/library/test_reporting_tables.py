"""Report and table of a run: complete, self-contained, escaped."""

from __future__ import annotations

import base64
import csv
import io
import re

from MIASSAMLib.outputs import NOTICE, write_cases_csv, write_html_report
from PIL import Image

ROWS = [
    {
        "case": "påt <1>",
        "source": "/data/påt.nii.gz",
        "status": "done",
        "reason": "",
        "n_slices": 28,
        "n_segmented_slices": 3,
        "n_lesions": 2,
        "volume_ml": 12.3456,
        "top_slice": 14,
        "seconds": 3.25,
        "dice": 0.91234,
        "notes": "2 voxels were NaN",
        "summary": "2 anomalies & more",
        "picture": "påt <1>.png",
    },
    {"case": "normal", "source": "n.nrrd", "status": "done", "n_slices": 5, "n_lesions": 0},
    {"case": "bad", "source": "b.nii", "status": "failed", "reason": 'b.nii: "cut" short, <copy> it again'},
]


def test_table_has_one_row_per_case_and_keeps_commas_quotes_and_letters(tmp_path):
    path = write_cases_csv(tmp_path / "cases.csv", ROWS)
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == ["påt <1>", "normal", "bad"]
    assert rows[2]["reason"] == ROWS[2]["reason"] and rows[2]["status"] == "failed" and rows[2]["dice"] == ""
    assert float(rows[0]["volume_ml"]) == 12.3456 and rows[0]["dice"] == "0.91234"
    header = path.read_text(encoding="utf-8").splitlines()[0]
    assert header.startswith("case,source,status,reason,n_slices,") and header.endswith(",dice,notes,summary,picture")


def test_table_of_no_case_has_its_header(tmp_path):
    assert write_cases_csv(tmp_path / "cases.csv", []).read_text().startswith("case,source,status")


def _report(tmp_path) -> str:
    Image.new("RGB", (1700, 900), (200, 40, 40)).save(tmp_path / "påt <1>.png")
    (tmp_path / "påt <1>.seg.nrrd").write_text("x")
    path = write_html_report(
        tmp_path / "report.html", ROWS, {"preset": "refined", "model": {"name": "</pre><script>"}}
    )
    return path.read_text(encoding="utf-8")


def test_report_holds_its_pictures(tmp_path):
    page = _report(tmp_path)
    (encoded,) = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", page)
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        assert picture.size == (1100, 582)
        red, green, _ = picture.getpixel((500, 300))
        assert red > 180 and green < 60
    assert not re.search(r"(src|href)='(https?:|//|file:)", page)


def test_report_escapes_names_and_reasons(tmp_path):
    page = _report(tmp_path)
    assert "<1>" not in page and "&lt;1&gt;" in page
    assert "<script>" not in page and "&quot;cut&quot; short, &lt;copy&gt; it again" in page
    assert "2 anomalies &amp; more" in page


def test_report_says_what_it_is_and_counts_the_cases(tmp_path):
    page = _report(tmp_path)
    assert NOTICE in page
    assert "3 cases: 1 with an anomaly, 1 without, 1 failed" in page
    assert "<td class='number'>0.9123</td>" in page and "&quot;preset&quot;: &quot;refined&quot;" in page


def test_report_links_the_files_that_are_there(tmp_path):
    page = _report(tmp_path)
    assert "href='p%C3%A5t%20%3C1%3E.seg.nrrd'" in page and "_anomaly.nii.gz" not in page
