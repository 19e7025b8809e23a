"""Heidelberg Engineering's raw OCT export (.vol): B-scans as reflectivity, placed as they lie on the retina.

Layout: Heidelberg Engineering, Special Function: Exporting Raw Data, 2008. Little endian; a header of 2048 bytes, the
infrared picture, then every B-scan behind a header that tells its own size.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arrays import AnyArray, DoubleArray, FloatArray
from ..errors import InputError
from .door import check_size, unreadable
from .raw import RawImage

_HEADER_BYTES = 2048
_BSCAN_BYTES = 256
_INVALID = 1e30
"""Above this a sample was not measured; the files hold the largest float32 there."""
_EYES = {"OD": "right eye (OD)", "OS": "left eye (OS)"}
_CIRCLE, _STAR = 2, 5
_PARALLEL = 0.999


@dataclass(frozen=True)
class _Header:
    """What the file says: numbers of samples, mm, eye and pattern; the picture's size gives where B-scans begin."""

    n_columns: int
    n_scans: int
    n_rows: int
    column_mm: float
    scan_mm: float
    row_mm: float
    picture_bytes: int
    eye: str
    pattern: int


def read_heidelberg(path: Path) -> RawImage:
    """Read a .vol file: i along a B-scan, j into the eye, k from B-scan to B-scan.

    The eye looks to the front, so j runs to the back of the patient; the picture of the retina is seen as by somebody
    who faces the patient. Positions are true to one another, their origin is the scan's center. Grey is the fourth
    root of the reflectivity times 255, as the device shows it.

    Raises:
        InputError: the file is cut short, is another kind of .vol, or holds a star of B-scans, which is no volume.
    """
    try:
        data = path.read_bytes()
        header = _read_header(data)
        check_size((header.n_scans, header.n_rows, header.n_columns), 4, len(data), path.name)
        scans, lines = _read_scans(data, header)
    except (OSError, struct.error, ValueError) as error:
        raise unreadable(path.name, str(error)) from error
    if header.pattern == _STAR:
        raise InputError(
            f"{path.name}: its B-scans cross like a star and make no volume; expected parallel ones; "
            "export a volume scan, or single B-scans as pictures"
        )
    matrix, notes = _place(header, lines)
    voxels, grey_notes = _grey(scans)
    said = (
        f"{_EYES.get(header.eye, 'eye unknown')}; the file says {header.scan_mm:.4g} mm between B-scans and pixels of "
    )
    said += f"{header.row_mm:.4g} x {header.column_mm:.4g} mm (depth x width), for a standard eye; --spacing overrules"
    return RawImage(voxels, matrix, "oct", (said, *notes, *grey_notes))


def _read_header(data: bytes) -> _Header:
    """Raise ValueError where the numbers cannot be those of a .vol file."""
    n_columns, n_scans, n_rows, column_mm, scan_mm, row_mm, slo_x, slo_y = struct.unpack_from("<3I3d2I", data, 12)
    (eye,), (pattern,) = struct.unpack_from("<4s", data, 84), struct.unpack_from("<i", data, 96)
    least = _HEADER_BYTES + slo_x * slo_y + n_scans * (_BSCAN_BYTES + 4 * n_columns * n_rows)
    if not n_columns * n_scans * n_rows or least > len(data):
        raise ValueError(f"{len(data)} bytes came for {n_scans} B-scans of {n_rows} x {n_columns} samples")
    if not (0 < column_mm < 1 and 0 < row_mm < 1 and 0 <= scan_mm < 10):
        raise ValueError(f"a pixel of {row_mm:g} x {column_mm:g} mm and {scan_mm:g} mm between B-scans make no sense")
    words = eye.partition(b"\0")[0].decode("ascii", "replace").strip()
    return _Header(n_columns, n_scans, n_rows, column_mm, scan_mm, row_mm, slo_x * slo_y, words, pattern)


def _read_scans(data: bytes, header: _Header) -> tuple[FloatArray, DoubleArray]:
    """Return reflectivity (K, J, I), and start and end of each B-scan on the retina: (K, 2, 2) mm, x right, y down."""
    start, n_samples = _HEADER_BYTES + header.picture_bytes, header.n_columns * header.n_rows
    scans = np.empty((header.n_scans, header.n_rows, header.n_columns), np.float32)
    lines = np.empty((header.n_scans, 2, 2))
    for scan, line in zip(scans, lines):
        size, *ends = struct.unpack_from("<I4d", data, start + 12)
        if size < _BSCAN_BYTES:
            raise ValueError(f"the header of a B-scan says that it has {size} bytes")
        line[:] = np.reshape(ends, (2, 2))
        scan[:] = np.frombuffer(data, "<f4", n_samples, start + size).reshape(scan.shape)
        start += size + 4 * n_samples
    return scans, lines


def _place(header: _Header, lines: DoubleArray) -> tuple[DoubleArray, tuple[str, ...]]:
    """Return ijk_to_ras, centered, and what was assumed."""
    along, step = _to_ras(lines[0, 1] - lines[0, 0]), np.zeros(3)
    notes: list[str] = []
    if header.pattern == _CIRCLE or not np.linalg.norm(along):
        along = np.array([-1.0, 0, 0])
        notes += ["a circular scan, unrolled"] if header.pattern == _CIRCLE else ["the B-scan's place is unknown"]
    along /= np.linalg.norm(along)
    if header.n_scans > 1:
        step = _to_ras(lines[-1, 0] - lines[0, 0])
    across = np.cross(along, [0, -1.0, 0])  # up for a scan from the patient's right to left
    if step @ across < 0:
        across = -across
    distance = header.scan_mm or header.column_mm
    if not header.scan_mm:
        notes.append(f"no distance between B-scans is known; {distance:.4g} mm is assumed, so ml mean nothing")
    elif np.linalg.norm(step) and abs(step @ across) < _PARALLEL * np.linalg.norm(step):
        notes.append("the B-scans are shifted against one another; they are placed as if they were not")
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([along * header.column_mm, [0, -header.row_mm, 0], across * distance], 1)
    middle = (np.array([header.n_columns, header.n_rows, header.n_scans]) - 1) / 2
    matrix[:3, 3] = -matrix[:3, :3] @ middle
    return matrix, tuple(notes)


def _to_ras(picture_xy: AnyArray) -> DoubleArray:
    """Turn a direction on the infrared picture (x right, y down) into RAS."""
    return np.array([-picture_xy[0], 0.0, -picture_xy[1]])


def _grey(reflectivity: FloatArray) -> tuple[FloatArray, tuple[str, ...]]:
    """Return grey 0 to 255; what was not measured becomes black."""
    is_missing = ~(reflectivity < _INVALID) | (reflectivity < 0)
    clean = np.where(is_missing, 0, reflectivity)
    notes = [f"{int(is_missing.sum())} of {is_missing.size} samples were not measured and are black"]
    notes = notes if is_missing.any() else []
    if clean.max() > 1:
        return clean, (*notes, "samples above 1 are no reflectivity; they are taken as grey values")
    return np.asarray(255 * clean**0.25, np.float32), tuple(notes)
