"""Ways to damage an input; each takes a generator and tells what may be read afterwards."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import re
import socket
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom

from .seeds import Seed

REFUSED, SAME, SOUND = "refused", "refused or the same", "refused or sound"
"""What reading may give: an error; that or exactly the seed's voxels; that or any volume that can be."""

Random = np.random.Generator
Mutation = Callable[[Seed, Path, Random], tuple[Path, str]]
NUMBERS = (0, -1, 1, 2, 3, 255, 32767, 65535, 1 << 31, -(1 << 31), 1 << 40, 1e300, float("inf"), float("nan"), -0.5)
WORDS = ("", "nan", "inf", "-1", "0", "1e400", "999999999", "4611686018427387904", "x", "../a.raw", "/etc/passwd")


def _write(seed: Seed, folder: Path, name: str, data: bytes) -> Path:
    path = seed.write(folder)
    (folder / name).write_bytes(data)
    return path


def _some(seed: Seed, random: Random) -> tuple[str, bytes]:
    name = str(random.choice(sorted(seed.files)))
    return name, seed.files[name]


def cut(seed: Seed, folder: Path, random: Random) -> tuple[Path, str]:
    """Cut a file short; what lies behind the voxels may be missed."""
    name, data = _some(seed, random)
    return _write(seed, folder, name, data[: int(random.integers(len(data)))]), SAME


def flip(seed: Seed, folder: Path, random: Random) -> tuple[Path, str]:
    """Flip one to three bits."""
    name, data = _some(seed, random)
    changed = bytearray(data)
    for at in random.integers(len(data), size=int(random.integers(1, 4))):
        changed[at] ^= 1 << int(random.integers(8))
    return _write(seed, folder, name, bytes(changed)), _after_damage(seed, name)


def blot(seed: Seed, folder: Path, random: Random) -> tuple[Path, str]:
    """Overwrite a stretch with zeros or noise."""
    name, data = _some(seed, random)
    first, length = int(random.integers(len(data))), int(random.integers(1, 64))
    ink = random.bytes(length) if random.integers(2) else bytes(length)
    changed = data[:first] + ink[: len(data) - first] + data[first + length :]
    return _write(seed, folder, name, changed), _after_damage(seed, name)


def checksum(seed: Seed, folder: Path, random: Random) -> tuple[Path, str]:
    """Damage the last bytes, where gzip and zlib keep their checksum."""
    name = max(seed.files, key=lambda each: (not each.endswith((".nhdr", ".mhd")), each))
    data = bytearray(seed.files[name])
    data[-int(random.integers(1, 9))] ^= 0x55
    return _write(seed, folder, name, bytes(data)), _after_damage(seed, name)


def _after_damage(seed: Seed, name: str) -> str:
    has_own_checksum = seed.is_checked and not name.endswith((".nhdr", ".mhd", ".mha", ".nrrd"))
    return SAME if has_own_checksum else SOUND  # a text header in front of the packed voxels has none


def noise(seed: Seed, folder: Path, random: Random) -> tuple[Path, str]:
    """Put noise, text or nothing in place of a file."""
    name, data = _some(seed, random)
    junk = (b"", random.bytes(len(data)), b"<html>404 not found</html>\n", bytes(len(data)))[int(random.integers(4))]
    is_header = name == seed.entry or not name.endswith((".raw", ".zraw"))
    return _write(seed, folder, name, junk), SAME if is_header or not junk or seed.is_checked else SOUND


def added(seed: Seed, folder: Path, random: Random) -> tuple[Path, str]:
    """Append bytes."""
    name, data = _some(seed, random)
    return _write(seed, folder, name, data + random.bytes(int(random.integers(1, 100)))), SAME


def no_file(seed: Seed, folder: Path, random: Random) -> tuple[Path, str]:
    """Put a pipe, socket, device, folder, loop or dangling link in place of the file that is pointed at."""
    path = seed.write(folder)
    target = path if seed.entry else folder / sorted(seed.files)[int(random.integers(len(seed.files)))]
    if len(seed.files) > 1 and random.integers(2):
        target = folder / sorted(seed.files)[-1]
    target.unlink()
    kind = int(random.integers(7))
    if kind == 0:
        os.mkfifo(target)
    elif kind == 1:
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as server:
            server.bind(os.path.relpath(target))
    elif kind == 6:
        target.mkdir()
    else:
        target.symlink_to(("/dev/zero", target.name, "nowhere", "/dev/tty")[kind - 2])
    return path, SAME


def odd_name(seed: Seed, folder: Path, random: Random) -> tuple[Path, str]:
    """Give the folder a name that is no UTF-8, has spaces, quotes or a line break, or is very long."""
    names = (b"\xff\xfe", b"a b", b"l\nine", b"q'\"<b>&", "große Ω".encode(), b"x" * 180)
    place = folder / os.fsdecode(names[int(random.integers(len(names)))])
    return seed.write(place), SAME


def lost_slice(seed: Seed, folder: Path, random: Random) -> tuple[Path, str]:
    """Take the first, the last or a middle slice out of a DICOM series, or give one to another series."""
    path = seed.write(folder)
    names = sorted(seed.files)
    places = (0, len(names) // 2, len(names) - 1) if "counted" in seed.name else (0, len(names) // 2)
    name = names[int(random.choice(places))]
    if random.integers(2):
        (folder / name).unlink()
    else:
        data = pydicom.dcmread(folder / name)
        data.SeriesInstanceUID = "1.2.3.99"
        data.save_as(folder / name)
    return path, REFUSED


def nifti_field(seed: Seed, folder: Path, random: Random) -> tuple[Path, str]:
    """Set a field of the header to any number, the rest being sound and the checksum right."""
    name = seed.entry
    data = seed.files[name]
    raw = bytearray(gzip.decompress(data) if name.endswith(".gz") else data)
    fields = _NIFTI1 if raw[:4] == struct.pack("<i", 348) else _NIFTI2
    at, form = fields[int(random.integers(len(fields)))]
    struct.pack_into(f"<{form}", raw, at, _fitting(form, NUMBERS[int(random.integers(len(NUMBERS)))]))
    return _write(seed, folder, name, gzip.compress(bytes(raw)) if name.endswith(".gz") else bytes(raw)), SOUND


_NIFTI1 = [(0, "i"),
           *((40 + 2 * n, "h") for n in range(8)), (70, "h"), (72, "h"), *((76 + 4 * n, "f") for n in range(8)),
           (108, "f"), (112, "f"), (116, "f"), (123, "B"), (252, "h"), (254, "h"),
           *((256 + 4 * n, "f") for n in range(18)), (344, "B"), (345, "B")]  # fmt: skip
_NIFTI2 = [(0, "i"), (12, "h"), (14, "h"),
           *((16 + 8 * n, "q") for n in range(8)), *((104 + 8 * n, "d") for n in range(8)),
           (168, "q"), (176, "d"), (184, "d"), (344, "i"), (348, "i"), *((352 + 8 * n, "d") for n in range(18)),
           (500, "i")]  # fmt: skip


def _fitting(form: str, value: float) -> float | int:
    if form == "f":
        return float(np.float32(value)) if abs(value) < 1e38 or value != value else float("inf")
    if form == "d":
        return float(value)
    size = struct.calcsize(form)
    low, high = (0, 256**size - 1) if form.isupper() else (-(256**size) // 2, 256**size // 2 - 1)
    return max(low, min(high, int(value))) if np.isfinite(value) else high


def text_field(seed: Seed, folder: Path, random: Random) -> tuple[Path, str]:
    """Set a word of an NRRD or MetaImage header to any other, or drop or double a line."""
    name = seed.entry
    head, mark, rest = _split_header(seed.files[name])
    lines = head.split(b"\n")
    number = int(random.integers(1 if head.startswith(b"NRRD") else 0, len(lines)))
    what = int(random.integers(8))
    if what == 0:
        del lines[number]
    elif what == 1:
        lines.insert(number, lines[number])
    else:
        words = re.findall(rb"[^\s(),:=]+", lines[number].partition(b":" if b":" in lines[number] else b"=")[2])
        old = words[int(random.integers(len(words)))] if words else lines[number]
        pool = [
            *WORDS,
            *map(str, NUMBERS),
            "float",
            "double",
            "uchar",
            "MET_DOUBLE",
            "gzip",
            "raw",
            "True",
            "LIST",
            "3",
        ]
        lines[number] = lines[number].replace(old, pool[int(random.integers(len(pool)))].encode(), 1)
    return _write(seed, folder, name, b"\n".join(lines) + mark + rest), SOUND


def _split_header(data: bytes) -> tuple[bytes, bytes, bytes]:
    if data.startswith(b"NRRD"):
        return data.partition(b"\n\n")
    at = data.index(b"\n", data.index(b"ElementDataFile"))
    return data[:at], b"\n", data[at + 1 :]


def dicom_field(seed: Seed, folder: Path, random: Random) -> tuple[Path, str]:
    """Set a tag of one slice, or of all, to any value."""
    path = seed.write(folder)
    keyword = _KEYWORDS[int(random.integers(len(_KEYWORDS)))]
    names = sorted(seed.files)
    names = names if random.integers(2) else [names[int(random.integers(len(names)))]]
    value = (NUMBERS + WORDS)[int(random.integers(len(NUMBERS + WORDS)))]
    for name in names:
        data = pydicom.dcmread(folder / name)
        _set_tag(data, keyword, value)
        with contextlib.suppress(Exception):  # pydicom refuses to write what no writer would
            target = io.BytesIO()
            data.save_as(target)
            (folder / name).write_bytes(target.getvalue())
    return path, SOUND


_KEYWORDS = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel",
             "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "InstanceNumber", "NumberOfFrames",
             "RescaleSlope", "RescaleIntercept", "PhotometricInterpretation", "PixelData", "Modality",
             "SeriesDescription", "ImagesInAcquisition", "SeriesInstanceUID")  # fmt: skip


def _set_tag(data: pydicom.Dataset, keyword: str, value: float | str) -> None:
    with contextlib.suppress(Exception), pydicom.config.disable_value_validation():
        vr = pydicom.datadict.dictionary_VR(keyword)
        if keyword == "PixelData":
            data.PixelData = data.PixelData[: len(data.PixelData) // 2]
        elif vr == "US":
            setattr(data, keyword, max(0, min(65535, int(value))))
        elif vr in ("DS", "IS"):
            old = data.get(keyword)
            many = max(getattr(old, "VM", 1), len(old) if hasattr(old, "__len__") and not isinstance(old, str) else 1)
            texts = [str(each) for each in (old if many > 1 else [old or 0])]
            texts[0] = str(value)[:16]
            data.add_new(keyword, "LO", "\\".join(texts))
            data[keyword].VR = "LO"
        else:
            setattr(data, keyword, str(value))


def png_field(seed: Seed, folder: Path, random: Random) -> tuple[Path, str]:
    """Set width, height, depth or color of a PNG, with the checksum made right."""
    data = bytearray(seed.files[seed.entry])
    at, form = ((16, ">I"), (20, ">I"), (24, "B"), (25, "B"), (26, "B"), (28, "B"))[int(random.integers(6))]
    struct.pack_into(
        form, data, at, int(random.choice((0, 1, 2, 16, 255, 1 << 30, (1 << 31) - 1))) & (255 if form == "B" else -1)
    )
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    return _write(seed, folder, seed.entry, bytes(data)), SOUND


def picture_field(seed: Seed, folder: Path, random: Random) -> tuple[Path, str]:
    """Overwrite two or four bytes of a picture's first or last hundred with a large or a small number."""
    data = bytearray(seed.files[seed.entry])
    span = min(160, len(data) - 4)
    at = int(random.integers(span))
    at = at if random.integers(2) else len(data) - 4 - at
    struct.pack_into(
        str(random.choice(("<H", ">H", "<I", ">I"))), data, at, int(random.choice((0, 1, 255, 32767, 65535)))
    )
    return _write(seed, folder, seed.entry, bytes(data)), SOUND


def mutations_of(seed: Seed) -> list[Mutation]:
    """Return what can be done to a seed."""
    common: list[Mutation] = [cut, flip, blot, noise, added, no_file, odd_name]
    name = seed.entry or ".dcm"
    if name.endswith((".nii", ".nii.gz")):
        return [*common, checksum, nifti_field, nifti_field, nifti_field]
    if name.endswith((".nrrd", ".nhdr", ".mha", ".mhd")):
        return [*common, checksum, text_field, text_field, text_field]
    if name.endswith((".dcm", ".dicom", ".ima")):
        return [*common, dicom_field, dicom_field, *([] if seed.entry else [lost_slice])]
    return [*common, png_field if name.endswith(".png") else picture_field]
