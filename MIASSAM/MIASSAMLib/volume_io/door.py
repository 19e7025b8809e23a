"""The door for files: what a header says is held against the file before a voxel is read or a byte allocated."""

from __future__ import annotations

import math
import os
import re
import stat
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..arrays import DoubleArray
from ..errors import InputError
from ..files import reason

MAX_VOXELS = 1 << 30
"""4 GiB of float32: larger than any clinical volume."""
_bound: ContextVar[int] = ContextVar("max_voxels", default=MAX_VOXELS)
PACKED_AT_MOST = 1032
"""zlib packs no more than this many bytes into one (its own documentation)."""
_PIECE_BYTES = 1 << 20
_SPACING_MM = (1e-5, 1e5)
_FARTHEST_MM = 1e7
_FLATTEST = 1e-3
_KINDS = ((stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"), (stat.S_ISCHR, "device"), (stat.S_ISBLK, "device"))


def check_file(path: Path) -> int:
    """Return the length of a regular file, which is opened only after it is known to be one.

    Raises:
        InputError: it is missing, a pipe, socket, device or folder, empty, or may not be read.
    """
    check_name(path)
    try:
        status = path.stat()
        kind = next((word for test, word in _KINDS if test(status.st_mode)), "folder")
        if not stat.S_ISREG(status.st_mode):
            raise InputError(f"{path}: this is a {kind}; expected an image file; give the file itself")
        with open(path, "rb") as file:
            if not file.read(1):
                raise InputError(f"{path}: the file is empty; expected an image; copy it again from its source")
    except (OSError, ValueError) as error:
        words = reason(error) if isinstance(error, OSError) else "its name cannot be used"
        raise InputError(f"{path}: {words}; give an image file or a DICOM folder that can be read") from error
    return status.st_size


def check_name(path: Path) -> None:
    """Refuse a name that is no text: readers below cannot open it, and records could not name it.

    Raises:
        InputError: with the name, as far as it can be shown.
    """
    if str(path).encode("utf-8", "replace") != os.fsencode(path):
        shown = str(path).encode("ascii", "backslashreplace").decode()
        raise InputError(f"{shown}: this name is not UTF-8 text; expected a name that can be written; rename it")


def check_elements(path: Path) -> None:
    """Follow the elements of a DICOM file as far as they have a length, and refuse one that passes its end.

    GDCM allocates what an element claims, and looks for its end for many seconds. The file may be explicit little
    endian; of another coding only the beginning is checked. (DICOM PS3.5, section 7.1.2)

    Raises:
        InputError: an element is longer than the file.
    """
    n_bytes, is_explicit = check_file(path), False
    with open(path, "rb") as file:
        file.seek(128)
        at = 132 if file.read(4) == b"DICM" else n_bytes
        while at < n_bytes:
            file.seek(at)
            head = file.read(12)
            if len(head) < 8 or not head[4:6].isalpha() or not head[4:6].isupper():
                if is_explicit:
                    raise unreadable(path.name, f"byte {at} begins no element")
                return
            is_long = head[4:6] in _LONG_ELEMENTS
            length = int.from_bytes(head[8:12] if is_long else head[6:8], "little")
            if length == 0xFFFFFFFF:
                return
            is_explicit = head[:2] != b"\x02\x00"
            at += (12 if is_long else 8) + length
        if at > n_bytes:
            raise unreadable(path.name, f"an element ends at byte {at} of {n_bytes}")


_LONG_ELEMENTS = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")


@contextmanager
def at_most(max_voxels: int) -> Iterator[None]:
    """Refuse images of more voxels within the block."""
    token = _bound.set(max_voxels)
    try:
        yield
    finally:
        _bound.reset(token)


def check_size(shape: Sequence[int], n_bytes: int, held: int, name: str) -> None:
    """Refuse a shape that is empty or too large, or whose voxels the file cannot hold.

    Args:
        n_bytes: what one voxel takes in the file.
        held: how many bytes of voxels the file can hold.

    Raises:
        InputError: with both sizes.
    """
    words = " x ".join(str(int(n)) for n in shape) or "none"
    n_voxels = math.prod(int(n) for n in shape)
    if not shape or min(shape) < 1 or n_voxels > _bound.get():
        raise InputError(
            f"{name}: its header says {words} voxels; expected 1 to {_bound.get()} in all (--max-voxels); crop or "
            "resample the image, or copy it again if that is not its size"
        )
    if n_voxels * n_bytes > held:
        raise InputError(
            f"{name}: its header says {words} voxels, {n_voxels * n_bytes} bytes, and the file holds at most {held}, "
            "so it is cut short or damaged; copy it again from its source"
        )


def check_geometry(ijk_to_ras: DoubleArray, name: str) -> None:
    """Refuse a place that is not finite, not invertible, or larger than anything in a scanner.

    Raises:
        InputError: with what came.
    """
    columns = np.asarray(ijk_to_ras, np.float64)[:3, :3]
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(columns, axis=0)
        is_sound = bool(
            np.isfinite(ijk_to_ras).all()
            and _SPACING_MM[0] <= lengths.min()
            and lengths.max() <= _SPACING_MM[1]
            and np.abs(ijk_to_ras).max() <= _FARTHEST_MM
            and abs(np.linalg.det(columns / lengths)) >= _FLATTEST
        )
    if not is_sound:
        came = " x ".join(f"{length:g}" for length in lengths)
        raise InputError(
            f"{name}: its header gives voxels of {came} mm, or axes, that cannot be; expected a finite place, voxels "
            f"of {_SPACING_MM[0]:g} to {_SPACING_MM[1]:g} mm and three different axes; export the image again"
        )


def check_packed(path: Path, first: int, wanted: int) -> None:
    """Unpack a gzip or zlib stream to its end, so that its checksum is compared; nothing is kept.

    Args:
        first: where in the file it begins.
        wanted: how many bytes must come out, at least; more is not read.

    Raises:
        InputError: it is damaged, cut short, or holds fewer bytes.
    """
    total, unpacker = 0, zlib.decompressobj(47)
    try:
        with open(path, "rb") as file:
            file.seek(first)
            piece = file.read(_PIECE_BYTES)
            while piece:
                total += len(unpacker.decompress(piece, _PIECE_BYTES))
                piece = unpacker.unconsumed_tail or (unpacker.unused_data if unpacker.eof else file.read(_PIECE_BYTES))
                if unpacker.eof and piece.lstrip(b"\0"):
                    unpacker = zlib.decompressobj(47)
                elif unpacker.eof:
                    piece = b""
                if total > wanted + 16 * _PIECE_BYTES:
                    raise zlib.error("more than the header says")
    except zlib.error as error:
        raise unreadable(path.name, "its packed part does not fit its checksum") from error
    if not unpacker.eof or total < wanted:
        raise unreadable(path.name, f"{total} bytes of voxels came and {wanted} were said")


def unreadable(name: str, why: str = "") -> InputError:
    """Return the error for a file that cannot be read."""
    said = f"{why}; " if why else ""
    return InputError(
        f"{name}: {said}expected a sound image, but the file is cut short or damaged; copy it again from its source"
    )


@dataclass(frozen=True)
class StoredVoxels:
    """Where a NRRD or MetaImage file keeps its voxels; `first` is None when only its reader knows."""

    path: Path
    first: int | None
    is_packed: bool


def stored_voxels(path: Path) -> StoredVoxels:
    """Return where the header of a NRRD or MetaImage says that the voxels are.

    Raises:
        InputError: it names a file outside its own folder, or one that is none.
    """
    with open(path, "rb") as file:
        head = file.read(_PIECE_BYTES)
    is_nrrd = head.startswith(b"NRRD")
    end = (
        re.search(rb"\r?\n\r?\n" if len(head) == _PIECE_BYTES else rb"\r?\n\r?\n|\Z", head)
        if is_nrrd
        else re.search(rb"(?im)^ElementDataFile[ \t]*=[^\n]*\n?", head)
    )
    if not end:
        raise unreadable(path.name, "its header has no end")
    fields = dict(_fields(head[: end.end()], ":" if is_nrrd else "="))
    named = fields.get("data file") or fields.get("datafile") if is_nrrd else fields.get("elementdatafile", "LOCAL")
    if fields.get("dimension" if is_nrrd else "ndims") not in ("1", "2", "3", "4"):  # MetaIO crashes above 10
        raise unreadable(path.name, "its header gives no number of dimensions from 1 to 4")
    encoding = fields.get("encoding", "raw").lower()
    is_packed = encoding in ("gzip", "gz") if is_nrrd else fields.get("compresseddata", "").lower() in ("true", "1")
    is_plain = (is_packed or encoding == "raw") and not any(int(fields.get(key) or 0) for key in _SKIPS)
    if not named or named.upper() == "LOCAL":
        return StoredVoxels(path, end.end() if is_plain else None, is_packed)
    other = path.parent / named
    if "%" in named or named.upper().startswith("LIST"):
        raise InputError(f"{path.name}: its voxels lie in many files; expected one; save it as one .nrrd or .mha file")
    if other.resolve().parent != path.parent.resolve():
        raise InputError(f"{path.name}: its voxels lie outside its folder, in {named}; put both files in one folder")
    check_file(other)
    return StoredVoxels(other, 0 if is_plain else None, is_packed)


_SKIPS = ("line skip", "lineskip", "byte skip", "byteskip", "headersize")


def _fields(head: bytes, mark: str) -> Iterator[tuple[str, str]]:
    for line in head.decode("latin-1").splitlines():
        key, found, value = line.partition(mark)
        if found and not line.startswith("#"):
            yield key.strip().lower(), value.strip()


@contextmanager
def in_words(name: str) -> Iterator[None]:
    """Say in our words what a reader's own error means.

    Raises:
        InputError: instead of it.
    """
    try:
        yield
    except (OSError, EOFError, ValueError, RuntimeError, OverflowError, KeyError, IndexError, zlib.error) as error:
        raise unreadable(name) from error
    except MemoryError as error:
        raise InputError(f"{name}: more memory is needed than there is; close programs or crop the image") from error
