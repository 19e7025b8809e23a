"""What can be asked, by name; the heavy imports wait for the first verb that needs them.

So the worker answers within a fraction of a second, and says in words which package is missing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import MiassamError
from .server import Call, Verb

if TYPE_CHECKING:
    from .engine import Engine

ENGINE_VERBS = (
    "load_model", "open_volume", "close_volume", "segment", "redecode", "build_bank", "build_sample_bank", "bank_info",
    "teach_normal", "unteach",
)  # fmt: skip
_PACKAGE_OF_MODULE = {"faiss": "faiss-cpu", "segment_anything": "segment-anything", "torch": "torch (PyTorch)"}


class Verbs:
    """Makes the engine on first use."""

    def __init__(self) -> None:
        self._engine: Engine | None = None

    def table(self) -> dict[str, Verb]:
        """Return verb -> function."""
        table: dict[str, Verb] = {"hello": hello, "make_sample": make_sample}
        table |= {name: self._engine_verb(name) for name in ENGINE_VERBS}
        table |= {"list_models": list_models, "fetch_model": fetch_model, "remove_models": remove_models}
        table["import_bank"] = import_bank
        return {name: _naming_what_is_missing(verb) for name, verb in table.items()}

    def _engine_verb(self, name: str) -> Verb:
        def ask(arguments: Mapping[str, Any], call: Call) -> dict[str, Any]:
            if self._engine is None:
                from .engine import Engine

                self._engine = Engine(call.folder)
            answer: dict[str, Any] = getattr(self._engine, name)(arguments, call)
            return answer

        return ask


def hello(arguments: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """Describe this worker."""
    from .. import __version__

    return {"version": __version__}


def make_sample(arguments: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """Generate a sample volume of the library's phantoms."""
    from .banks import make_sample as make

    return make(arguments, call)


def list_models(arguments: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """Name every model there is, in words, with its size, and say whether it is on this machine."""
    from ..checkpoints import list_checkpoints
    from ..sam.registry import checkpoint_cache_folder

    folder = checkpoint_cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "folder": str(folder),
        "models": [
            {
                "name": each.entry.name, "words": each.entry.words, "size": each.entry.about,
                "is_here": each.is_present, "is_downloadable": each.entry.is_downloadable,
            }
            for each in list_checkpoints()
        ]
    }  # fmt: skip


def fetch_model(arguments: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """Download a published checkpoint and verify it."""
    from ..checkpoints import fetch

    return {"path": str(fetch(str(arguments["name"]), call.progress))}


def remove_models(arguments: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """Remove every downloaded checkpoint."""
    from ..checkpoints import list_checkpoints, remove

    here = [each for each in list_checkpoints() if each.n_bytes and each.entry.is_downloadable]
    freed = sum(each.n_bytes for each in here)
    removed = [each.entry.name for each in here if remove(each.entry.name)]
    return {"removed": removed, "freed_bytes": freed}


def import_bank(arguments: Mapping[str, Any], call: Call) -> dict[str, Any]:
    """Unpack a bank "archive" as the folder "path", with "overwrite" over a bank of this name."""
    from .banks import import_bank as unpack

    return unpack(arguments, call)


def _naming_what_is_missing(verb: Verb) -> Verb:
    def ask(arguments: Mapping[str, Any], call: Call) -> dict[str, Any]:
        try:
            return verb(arguments, call)
        except ModuleNotFoundError as error:
            package = _PACKAGE_OF_MODULE.get(str(error.name), str(error.name))
            raise MiassamError(
                f"the Python package {package} is not installed; install the required packages and try again"
            ) from error

    return ask
