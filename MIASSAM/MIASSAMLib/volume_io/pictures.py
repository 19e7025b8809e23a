"""2-D pictures (PNG, TIFF, JPEG, BMP) and multi-page TIFF, through Pillow, which notices cut-short files."""

from __future__ import annotations

import struct
import warnings
from pathlib import Path

import numpy as np

from ..arrays import AnyArray
from ..errors import InputError
from .door import check_file, check_size, unreadable
from .raw import RawImage, flip_lps_ras

_PALETTE_MODES = {"P": "RGB", "PA": "RGBA", "CMYK": "RGB", "YCbCr": "RGB", "LAB": "RGB", "HSV": "RGB", "1": "L"}
_PILLOW_SAYS = (OSError, ValueError, TypeError, SyntaxError, KeyError, IndexError, AttributeError, EOFError,
                OverflowError, ZeroDivisionError, NotImplementedError, AssertionError)  # fmt: skip
"""What Pillow raises for a damaged picture."""
NO_POSITION = "the picture holds no position or pixel size in mm; pixels are taken as 1 x 1 mm"


def read_picture(path: Path) -> RawImage:
    """Read one picture as a volume of one slice per page, 1 mm pixels, origin 0.

    Raises:
        InputError: the file is damaged or its pages differ in size.
    """
    from PIL import Image, ImageSequence

    check_file(path)
    if path.suffix.lower() in (".tif", ".tiff"):
        _check_tiff_chain(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path) as image:
                check_size(image.size, 0, 0, path.name)
                pages = [_pixels(page) for page in ImageSequence.Iterator(image)]
    except MemoryError as error:
        raise InputError(f"{path.name}: more memory is needed than there is; close programs or crop it") from error
    except (*_PILLOW_SAYS, struct.error, Image.DecompressionBombError) as error:
        raise unreadable(path.name) from error
    sizes = {page.shape for page in pages}
    if len(sizes) != 1:
        raise InputError(
            f"{path.name}: its {len(pages)} pages differ in size {sorted(sizes)}; expected equal slices; "
            "save one page per file"
        )
    return RawImage(np.stack(pages), flip_lps_ras(np.eye(4)), notes=(NO_POSITION,), has_spacing=False)


def _pixels(page: object) -> AnyArray:
    from PIL import Image

    assert isinstance(page, Image.Image)
    mode = _PALETTE_MODES.get(page.mode)
    return np.asarray(page.convert(mode) if mode else page)


def _check_tiff_chain(path: Path) -> None:
    """Follow a TIFF's chain of pages: a file cut short silently loses its last ones otherwise.

    Raises:
        InputError: the chain points past the end of the file.
    """
    data = path.read_bytes()
    order = {b"II": "<", b"MM": ">"}.get(data[:2])
    if order is None or data[2:4] not in (b"*\0", b"\0*"):
        return  # BigTIFF or no TIFF at all: Pillow decides
    seen: set[int] = set()
    try:
        (offset,) = struct.unpack_from(f"{order}I", data, 4)
        while offset and offset not in seen:
            seen.add(offset)
            (entries,) = struct.unpack_from(f"{order}H", data, offset)
            (offset,) = struct.unpack_from(f"{order}I", data, offset + 2 + 12 * entries)
    except struct.error as error:
        raise unreadable(path.name, f"page {len(seen)} lies past its end") from error
