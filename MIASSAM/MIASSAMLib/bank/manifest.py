"""What a memory bank says about itself: the manifest, its text form and its own digest."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import BankError, BankMismatchError

FORMAT = "miassam-memory-bank"
FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
ROW_KEYS = ("features", "place_weight", "window_px", "stride", "padding", "pooled_cells", "detour_px")
"""Config keys that decide a bank's rows: a query made with other values cannot be compared."""


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

    def digest(self) -> str:
        """Return the SHA-256 of the draft, by which an interrupted build is recognized."""
        return text_digest(json.dumps(dataclasses.asdict(self), sort_keys=True, default=dict))


@dataclasses.dataclass(frozen=True)
class SourceRecord:
    """One input of a bank: its name, digest ("" = not given), slices and patches per kind."""

    name: str
    digest: str
    n_slices: int
    n_patches: Mapping[str, int]


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

    storage: str
    storage_reason: str
    n_patches: int
    dimension: int
    files: Mapping[str, str]
    quality: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class FileRecord:
    """Size and SHA-256 of one file of the bank folder."""

    n_bytes: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Manifest:
    """Everything a bank says about itself; `version` counts the appends, from 1."""

    draft: ManifestDraft
    n_slices: int
    kinds: Mapping[str, KindRecord]
    sources: tuple[SourceRecord, ...]
    files: Mapping[str, FileRecord] = dataclasses.field(default_factory=dict)
    calibration_file: str = ""
    version: int = 1
    notes: tuple[str, ...] = ()

    def render(self) -> str:
        """Return the text of manifest.json; it ends with the digest of all before it."""
        data: dict[str, Any] = {"format": FORMAT, "format_version": FORMAT_VERSION}
        data |= {**dataclasses.asdict(self), "sources": [dataclasses.asdict(source) for source in self.sources]}
        body = json.dumps(data, indent=1, default=dict)
        return json.dumps({**json.loads(body), "manifest_sha256": text_digest(body)}, indent=1) + "\n"

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
        wanted, got = self.draft.config.get(key), config.get(key)
        if key == "features" and wanted and got and set(got) <= set(wanted):
            return ""
        wanted, got = (list(v) if isinstance(v, (list, tuple)) else v for v in (wanted, got))
        return "" if wanted == got else f"{key} is {wanted} in the bank and {got} in the config"


def _model_words(name: str, digest: str) -> str:
    return f"{name} ({digest[:6] or 'no digest'})"


def text_digest(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Read and check manifest.json of a bank folder.

    Raises:
        BankError: the file is missing, changed by even a byte, or of another version.
    """
    path = folder / MANIFEST_NAME
    try:
        text = path.read_bytes().decode("utf-8")
        data = json.loads(text)
    except FileNotFoundError:
        raise BankError(f"{path} is missing, so {folder} is no memory bank; give a folder made by a build") from None
    except OSError as error:
        raise BankError(f"{path} cannot be read ({error.strerror}); check the disk and its permissions") from error
    except ValueError as error:
        raise BankError(f"{path} is damaged (no JSON text: {error}); restore or rebuild the bank") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise BankError(f"{path} is not the manifest of a memory bank, or is damaged; restore or rebuild the bank")
    if data.get("format_version") != FORMAT_VERSION:
        raise BankError(
            f"{path} has format version {data.get('format_version')} and this program reads {FORMAT_VERSION}; "
            "rebuild the bank or use the program it was built with"
        )
    _check_own_digest(path, text, data)
    return _parse(data)


def _check_own_digest(path: Path, text: str, data: dict[str, Any]) -> None:
    digest = data.pop("manifest_sha256", None)
    body = json.dumps(data, indent=1)
    expected = json.dumps({**data, "manifest_sha256": text_digest(body)}, indent=1) + "\n"
    if digest != text_digest(body) or text != expected:
        raise BankError(f"{path} was changed after the build (its digest does not fit); restore or rebuild the bank")


def _parse(data: dict[str, Any]) -> Manifest:
    return Manifest(
        draft=ManifestDraft(**data["draft"]),
        n_slices=data["n_slices"],
        kinds={name: KindRecord(**record) for name, record in data["kinds"].items()},
        sources=tuple(SourceRecord(**record) for record in data["sources"]),
        files={name: FileRecord(**record) for name, record in data["files"].items()},
        calibration_file=data["calibration_file"],
        version=data["version"],
        notes=tuple(data["notes"]),
    )
