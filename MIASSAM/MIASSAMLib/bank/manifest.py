"""What a memory bank says about itself: the manifest, checked against one table before anything trusts it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from ..config import ROW_FIELDS
from ..errors import BankError, BankMismatchError
from ..files import reason, sha256_of_file

FORMAT = "miassam-memory-bank"
FORMAT_VERSION = 3
"""Versions 1 and 2 had compressed rows of other kinds, which are refused; their other rows are read as they are."""
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 1 << 28
_LARGEST = 1 << 40
FileName = Annotated[str, re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}")]
"""A name inside the folder: no separator, no leading dot, so it never leads out."""
Word = Annotated[str, re.compile(r"[A-Za-z0-9_-]{1,64}")]
Stored = Annotated[str, re.compile("none|half|compressed")]
Sha256 = Annotated[str, re.compile(r"[0-9a-f]{64}")]
ROW_KEYS = tuple(key for key in ROW_FIELDS if key != "lesion_margin")
"""Config keys that decide what a row is: a query made with other values cannot be compared."""
_ALWAYS = {"foreground_only": True}
"""What a preset without the field always does: a bank without air makes air unusual to the paper's way."""


@dataclasses.dataclass(frozen=True)
class ManifestDraft:
    """What is known about a bank before its first row.

    Attributes:
        preset: name of the preset of the build.
        config: the full config as JSON-able data.
        config_digest: SHA-256 of the config.
        model_name, model_digest: the encoder and the SHA-256 of its checkpoint.
        preprocessing: the intensity window rule and all else done to a volume before slicing.
        slice_axis: how the volumes were cut.
        modality, anatomy: words from the user.
        seed: seed of every random choice of the build.
        code_version: version of this package.
    """

    preset: str
    config: Mapping[str, Any]
    config_digest: str
    model_name: str
    model_digest: str
    preprocessing: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    slice_axis: str = "auto"
    modality: str = ""
    anatomy: str = ""
    seed: int = 0
    code_version: str = ""


@dataclasses.dataclass(frozen=True)
class SourceRecord:
    """One input of a bank: its name, digest ("" = not given), slices and patches per kind."""

    name: str
    digest: str
    n_slices: int
    n_patches: Mapping[Word, int]


@dataclasses.dataclass(frozen=True)
class KindRecord:
    """One feature kind of a bank.

    Attributes:
        storage: "none" (float32), "half" (float16) or "compressed".
        storage_reason: why, in words.
        n_patches, dimension: shape of the rows, (M, D).
        files: role -> file name in the bank folder.
        quality: what the search costs and loses, measured on held-out normal rows.
    """

    storage: Stored
    storage_reason: str
    n_patches: int
    dimension: int
    files: Mapping[Word, FileName]
    quality: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class FileRecord:
    """Size and SHA-256 of one file of the bank folder."""

    n_bytes: int
    sha256: Sha256


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Everything a bank says about itself; `version` counts the appends, from 1.

    The types of these records are the one table that a manifest on disk is checked against.
    """

    draft: ManifestDraft
    n_slices: int
    kinds: Mapping[Word, KindRecord]
    sources: tuple[SourceRecord, ...]
    files: Mapping[FileName, FileRecord] = dataclasses.field(default_factory=dict)
    calibration_file: str = ""
    version: int = 1
    notes: tuple[str, ...] = ()

    def render(self) -> str:
        """Return the text of manifest.json; it ends with the digest of all before it."""
        data: dict[str, Any] = {"format": FORMAT, "format_version": FORMAT_VERSION}
        data |= {**dataclasses.asdict(self), "sources": [dataclasses.asdict(source) for source in self.sources]}
        return signed(data)

    def check_fits(self, config: Mapping[str, Any], model_name: str, model_digest: str) -> None:
        """Refuse a query made by another encoder or with other patch settings.

        Raises:
            BankMismatchError: names what the bank has and what came.
        """
        if model_digest != self.draft.model_digest:
            raise BankMismatchError(
                f"memory bank was built with {_model_words(self.draft.model_name, self.draft.model_digest)} but the "
                f"model is {_model_words(model_name, model_digest)}; load the bank's model or rebuild the bank"
            )
        differences = [text for key in ROW_KEYS if (text := self._difference(key, config))]
        if differences:
            raise BankMismatchError(
                f"memory bank (preset {self.draft.preset}) does not fit the config "
                f"(preset {config.get('preset', '?')}): {'; '.join(differences)}; "
                "use the bank's preset or rebuild the bank"
            )

    def _difference(self, key: str, config: Mapping[str, Any]) -> str:
        otherwise = _ALWAYS.get(key)
        wanted, got = self.draft.config.get(key, otherwise), config.get(key, otherwise)
        if wanted is None or got is None:
            return ""  # a field that one of the presets does not use decides no row that both have
        if key == "features" and set(got) <= set(wanted):
            return ""
        wanted, got = (list(v) if isinstance(v, (list, tuple)) else v for v in (wanted, got))
        return "" if wanted == got else f"{key} is {wanted} in the bank and {got} in the config"


def _model_words(name: str, digest: str) -> str:
    return f"{name} ({digest[:6] or 'no digest'})"


def signed(data: Mapping[str, Any]) -> str:
    """Return data as JSON text that ends with the digest of all before it."""
    body = json.dumps(data, indent=1, default=dict)
    return json.dumps({**json.loads(body), "manifest_sha256": text_digest(body)}, indent=1) + "\n"


def text_digest(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Read and check manifest.json of a bank folder.

    Raises:
        BankError: the file is missing, changed by even a byte, of another version, or says what cannot be.
    """
    path = folder / MANIFEST_NAME
    text, data = read_json(path)
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise BankError(f"{path} is not the manifest of a memory bank, or is damaged; restore or rebuild the bank")
    if data.get("format_version") not in range(1, FORMAT_VERSION + 1):
        raise BankError(
            f"{path} has format version {str(data.get('format_version'))[:20]} and this program reads "
            f"{FORMAT_VERSION}; rebuild the bank or use the program it was built with"
        )
    check_own_digest(path, text, data)
    version = data.pop("format_version")
    del data["format"]
    try:
        manifest: Manifest = typed(Manifest, data, "the manifest")
        _check_sense(manifest)
    except ValueError as error:
        raise BankError(f"{path} is damaged: {error}; restore or rebuild the bank") from None
    if version < FORMAT_VERSION and any(record.storage == "compressed" for record in manifest.kinds.values()):
        raise BankError(
            f"{path} has compressed patches of format version {version}, which this program ({FORMAT_VERSION}) "
            "reads no more; build the bank again from its volumes"
        )
    return manifest


def find_damage(folder: Path, name: str, record: FileRecord, with_digest: bool = True) -> str:
    """Return what is wrong with one file of a bank, in words; "" when nothing is.

    Without the digest only place, presence and size are checked.
    """
    path = folder / name
    try:
        if path.resolve().parent != folder.resolve():
            return f"{path} is a link out of the bank folder"
        if not path.is_file():
            return f"{path} is missing"
        if (n_bytes := path.stat().st_size) != record.n_bytes:
            return f"{path} is damaged: it has {n_bytes} bytes and the manifest says {record.n_bytes}"
        found = sha256_of_file(path) if with_digest else record.sha256
    except (OSError, RuntimeError) as error:
        return f"{path} cannot be read ({reason(error) if isinstance(error, OSError) else error})"
    return "" if found == record.sha256 else f"{path} is damaged: its SHA-256 is not the manifest's"


def file_record(path: Path) -> FileRecord:
    """Return the size and digest of a file."""
    return FileRecord(path.stat().st_size, sha256_of_file(path))


def read_json(path: Path) -> tuple[str, Any]:
    """Return the text and the data of a JSON file of a bank folder; BankError where it has none."""
    try:
        if path.resolve().parent != path.parent.resolve() or not path.is_file():
            raise FileNotFoundError(path)
        if (n_bytes := path.stat().st_size) > MAX_MANIFEST_BYTES:
            raise BankError(f"{path} has {n_bytes} bytes, far more than a manifest; restore or rebuild the bank")
        text = path.read_bytes().decode("utf-8")
        return text, json.loads(text)
    except RuntimeError as error:  # a link to itself
        raise BankError(f"{path} is a link that leads nowhere; restore or rebuild the bank") from error
    except FileNotFoundError:
        folder = path.parent
        raise BankError(f"{path} is missing, so {folder} is no memory bank; give a folder made by a build") from None
    except OSError as error:
        raise BankError(f"{path} cannot be read ({reason(error)}); check the disk and its permissions") from error
    except (ValueError, RecursionError) as error:
        raise BankError(f"{path} is damaged (no JSON text: {error}); restore or rebuild the bank") from error


def check_own_digest(path: Path, text: str, data: dict[str, Any]) -> None:
    """Take the digest out of signed data; BankError where it does not fit."""
    digest = data.pop("manifest_sha256", None)
    body = json.dumps(data, indent=1)
    expected = json.dumps({**data, "manifest_sha256": text_digest(body)}, indent=1) + "\n"
    if digest != text_digest(body) or text != expected:
        raise BankError(f"{path} was changed after the build (its digest does not fit); restore or rebuild the bank")


def typed(wanted: Any, value: Any, where: str) -> Any:
    """Return a JSON value as the wanted type.

    Raises:
        ValueError: it does not fit; what came and what was wanted is in the message.
    """
    if wanted is Any:
        return value
    origin, inner, got = get_origin(wanted), get_args(wanted), f"{where} is {repr(value)[:80]}"
    if origin is Annotated:
        if not isinstance(value, str) or not inner[1].fullmatch(value):
            raise ValueError(f"{got}, wanted is a text like {inner[1].pattern}")
        return value
    if wanted is int and (type(value) is not int or not 0 <= value <= _LARGEST):
        raise ValueError(f"{got}, wanted is a whole number from 0 to {_LARGEST}")
    json_type: Any = {str: str, int: int, tuple: list}.get(origin or wanted, dict)
    if type(value) is not json_type:
        raise ValueError(f"{got}, wanted is a {json_type.__name__}")
    if origin is tuple:
        return tuple(typed(inner[0], each, f"{where}[{number}]") for number, each in enumerate(value))
    if dataclasses.is_dataclass(wanted):
        return _record(wanted, value, where)
    if json_type is dict:
        named = ((typed(inner[0], key, f"a name in {where}"), each) for key, each in value.items())
        return {key: typed(inner[1], each, f"{where}.{key}") for key, each in named}
    return value


def _record(wanted: Any, value: dict[str, Any], where: str) -> Any:
    hints = get_type_hints(wanted, include_extras=True)
    if value.keys() != hints.keys():
        raise ValueError(f"{where} has the fields {', '.join(value)[:200]}; wanted are {', '.join(hints)}")
    return wanted(**{key: typed(hint, value[key], f"{where}.{key}") for key, hint in hints.items()})


def _check_sense(manifest: Manifest) -> None:
    """Refuse what cannot be true though its types fit, by ValueError."""
    if not manifest.kinds or not manifest.version:
        raise ValueError("it has no kind of patch or no version")
    named = [name for record in manifest.kinds.values() for name in record.files.values()]
    for name in [*named, *filter(None, [manifest.calibration_file])]:
        if name not in manifest.files:
            raise ValueError(f"{name[:80]!r} is used but is no file of the bank")
    for kind, record in manifest.kinds.items():
        n_rows = sum(source.n_patches.get(kind, 0) for source in manifest.sources)
        if n_rows != record.n_patches or not 1 <= record.dimension <= 1 << 16:
            raise ValueError(f"{kind} has {record.n_patches} x {record.dimension} numbers, its sources {n_rows} rows")
