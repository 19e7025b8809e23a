"""What one run shares: options, model, what failed, and where everything needed to resume is kept."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import InputError
from ..method import Preprocessing
from ..protocols import Progress, SamModel, no_progress
from .cases import DataSet, EvaluationCase
from .observe import Asked
from .options import EvaluateOptions


@dataclass
class Workplace:
    """What one run shares: options, model, and where records are kept."""

    options: EvaluateOptions
    model: SamModel
    progress: Progress = no_progress
    failures: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """Folder of everything needed to resume."""
        return self.options.output / "work"

    @property
    def headline(self) -> str:
        """Return the preset whose pictures are shown."""
        return "refined" if "refined" in self.options.presets else self.options.names[0]

    @property
    def asked(self) -> Asked:
        """The rows wanted of each preset."""
        return Asked(self.options.prompts, self.options.masks)

    def preprocessing(self, data: DataSet) -> Preprocessing:
        """Return how the cases of a data set are cut and scaled."""
        own = self.options.preprocessing
        window = data.window if data.window is not None and own.window == "auto" else own.window
        return Preprocessing(own.axis, window, own.modality or data.modality)

    @contextmanager
    def noting(self, case: EvaluationCase) -> Iterator[None]:
        """Note the reason why a case cannot be used."""
        try:
            yield
        except InputError as error:
            self.failures[case.name] = str(error)
            raise

    @contextmanager
    def guard(self, case: EvaluationCase) -> Iterator[None]:
        """Go on after a bad case: its reason is noted, the rest go on."""
        try:
            with self.noting(case):
                yield
        except InputError:
            return


def safe_name(name: str) -> str:
    """Return a name usable as a file name, still unique."""
    short = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[-80:]
    return short if short == name else f"{short}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
