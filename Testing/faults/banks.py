"""Damage bank folders, use each in a process of its own, and tell what must not be."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from library.evaluation_trees import FakeModel
from MIASSAMLib.api import open_segmenter
from MIASSAMLib.bank import bank_info, verify_bank
from MIASSAMLib.bank.manifest import text_digest
from MIASSAMLib.config import PRESETS
from MIASSAMLib.errors import MiassamError
from MIASSAMLib.method import BuildOptions, BuildSource, build_bank
from MIASSAMLib.phantoms import default_grid, make_phantom

from .inputs import Failure, in_child, is_own_sentence

Random = np.random.Generator
GRID = replace(default_grid("brain"), shape_kji=(2, 64, 64))
VALUES = (
    None,
    True,
    -1,
    0,
    1 << 80,
    1e300,
    float("nan"),
    "",
    "../victim",
    "/etc/passwd",
    "x\0y",
    "a" * 5000,
    [],
    {},
    [[]],
)
VICTIM = "precious"


def make_bank(folder: Path) -> Path:
    """Build a small calibrated bank."""
    normals = [make_phantom("brain", seed, 0, GRID).volume for seed in range(3)]
    sources = [BuildSource(f"n{number}", lambda one=one: (one, None)) for number, one in enumerate(normals)]
    build_bank(folder, sources, FakeModel(), PRESETS["refined"], BuildOptions())
    return folder


def try_banks(n_tries: int, first: int, folder: Path) -> tuple[Counter[str], list[Failure]]:
    """Damage and use `n_tries` banks; every mutation gets its turn, `first` is the first try's number."""
    sound = make_bank(folder / "sound.bank")
    case = make_phantom("brain", 9, 0, GRID).volume
    expected = _heat(sound, case)
    (folder / "victim").write_text(VICTIM)
    counts: Counter[str] = Counter()
    failures = []
    for number in range(first, first + n_tries):
        mutate = MUTATIONS[number % len(MUTATIONS)]
        place = folder / "tried" / f"{number}.bank"
        shutil.copytree(sound, place)
        mutate(place, np.random.default_rng(number))
        outcome, words = in_child(lambda place=place: _use(place, case, expected))
        if (folder / "victim").read_text() != VICTIM:
            outcome = "wrote outside"
            (folder / "victim").write_text(VICTIM)
        counts[outcome] += 1
        if outcome not in ("refused", "sound"):
            failures.append(Failure(outcome, f"{mutate.__name__} {number}", words))
        shutil.rmtree(place.parent)
    return counts, failures


def _heat(bank: Path, case: Any) -> Any:
    return open_segmenter(bank, FakeModel(), device="cpu").segment(case).heat_kji


def _use(bank: Path, case: Any, expected: Any) -> tuple[str, str]:
    """Verify, describe and use a bank: what one says is true of the other."""
    try:
        complaints = verify_bank(bank)
        if bad := [words for words in complaints if not is_own_words(words)]:
            return "foreign words", bad[0]
        with contextlib.suppress(MiassamError):
            json.dumps(bank_info(bank), allow_nan=False)
        heat = _heat(bank, case)
    except MiassamError as error:
        return ("refused" if is_own_sentence(str(error)) else "foreign words"), str(error)
    except BaseException as error:
        import traceback

        return "traceback", f"{type(error).__name__}: {error} {traceback.format_exc()[-700:]}"
    if complaints:
        return "refused", complaints[0]
    if not np.isfinite(heat).all():
        return "not finite", ""
    is_same = np.allclose(heat, expected, atol=1e-4) or bank.with_suffix(".signed").exists()
    return (
        ("sound", "")
        if is_same or bank.with_suffix(".signed").exists()
        else ("wrongly sound", f"{np.abs(heat - expected).max()}")
    )


def is_own_words(text: str) -> bool:
    """Tell whether a complaint of `verify_bank` is in our own words."""
    return is_own_sentence(text + ";")


def _file(bank: Path, random: Random) -> Path:
    return sorted(bank.iterdir())[int(random.integers(len(list(bank.iterdir()))))]


def cut(bank: Path, random: Random) -> None:
    """Cut a file short."""
    path = _file(bank, random)
    path.write_bytes(path.read_bytes()[: int(random.integers(path.stat().st_size))])


def flip(bank: Path, random: Random) -> None:
    """Flip one to three bits of a file."""
    path = _file(bank, random)
    data = bytearray(path.read_bytes())
    for at in random.integers(len(data), size=int(random.integers(1, 4))):
        data[at] ^= 1 << int(random.integers(8))
    path.write_bytes(bytes(data))


def blot(bank: Path, random: Random) -> None:
    """Overwrite a stretch of a file."""
    path = _file(bank, random)
    data = bytearray(path.read_bytes())
    first = int(random.integers(len(data)))
    stretch = data[first : first + int(random.integers(1, 64))]
    data[first : first + len(stretch)] = random.bytes(len(stretch))
    path.write_bytes(bytes(data))


def no_file(bank: Path, random: Random) -> None:
    """Put a pipe, a folder, a link, or nothing in place of a file."""
    path = _file(bank, random)
    path.unlink()
    kind = int(random.integers(6))
    if kind == 0:
        os.mkfifo(path)
    elif kind == 1:
        path.mkdir()
    elif kind < 5:
        path.symlink_to(("/dev/zero", path.name, "../../victim")[kind - 2])


def swapped(bank: Path, random: Random) -> None:
    """Put one file in place of another."""
    one, other = _file(bank, random), _file(bank, random)
    data = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(data + (b"\n" if one == other else b""))


def added(bank: Path, random: Random) -> None:
    """Append bytes to a file."""
    path = _file(bank, random)
    path.write_bytes(path.read_bytes() + random.bytes(int(random.integers(1, 100))))


def stranger(bank: Path, random: Random) -> None:
    """Put a file of somebody else beside the bank's: harmless."""
    (bank / "notes.txt").write_bytes(random.bytes(9))


def text(bank: Path, random: Random) -> None:
    """Put another text in place of the manifest."""
    deep = "[" * 100000 + "]" * 100000
    deep, no_text = "[" * 100000 + "]" * 100000, "\ud800".encode("utf-8", "surrogatepass")
    texts = ("", "{}", "[]", "null", "nan", '{"a":', deep, '{"format_version": 1e999}')
    number = int(random.integers(len(texts) + 1))
    (bank / "manifest.json").write_bytes(texts[number].encode() if number < len(texts) else no_text)


def field(bank: Path, random: Random) -> None:
    """Set any value of a manifest to any other, signed anew as anybody can."""
    data = json.loads((bank / "manifest.json").read_text())
    data.pop("manifest_sha256")
    places = list(_places(data))
    where = places[int(random.integers(len(places)))]
    target = data
    for key in where[:-1]:
        target = target[key]
    if random.integers(8):
        target[where[-1]] = VALUES[int(random.integers(len(VALUES)))]
    else:
        del target[where[-1]]
    _sign(bank, data)


def content(bank: Path, random: Random) -> None:
    """Put another array in place of a file, signed anew."""
    path = bank / str(random.choice([one.name for one in bank.iterdir() if one.suffix in (".npz", ".npy")]))
    arrays = (
        np.array([{"a": 1}], object), np.zeros(0), np.full((3, 3), np.nan), np.array(["x"]), np.ones((2, 2, 2), bool),
        np.full(7, np.inf), np.arange(5) + 1j, np.zeros((1, 0, 4)),
    )  # fmt: skip
    array = arrays[int(random.integers(len(arrays)))]
    if path.suffix == ".npy":
        np.save(path, array, allow_pickle=True)
    else:
        with np.load(path) as known:
            kept = dict(known)
        kept[str(random.choice(sorted(kept)))] = array
        target = io.BytesIO()
        np.savez(target, **kept)
        path.write_bytes(target.getvalue())
    data = json.loads((bank / "manifest.json").read_text())
    data.pop("manifest_sha256")
    raw = path.read_bytes()
    data["files"][path.name] = {"n_bytes": len(raw), "sha256": hashlib.sha256(raw).hexdigest()}
    _sign(bank, data)


def _places(data: Any, path: tuple[Any, ...] = ()) -> Any:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from _places(value, (*path, key))


def _sign(bank: Path, data: Any) -> None:
    body = json.dumps(data, indent=1)
    signed = {**json.loads(body), "manifest_sha256": text_digest(body)}
    (bank / "manifest.json").write_text(json.dumps(signed, indent=1) + "\n")
    bank.with_suffix(".signed").write_text("whoever signs says what is right")


MUTATIONS: list[Callable[[Path, Random], None]] = [
    cut,
    flip,
    blot,
    no_file,
    swapped,
    added,
    stranger,
    text,
    field,
    field,
    content,
]
