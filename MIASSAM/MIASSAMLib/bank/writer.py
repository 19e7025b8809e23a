"""Builds a memory bank on disk: rows stream in, a killed build resumes, the bank appears at once."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..arrays import AnyArray, FloatArray
from ..errors import BankError, BankMismatchError
from ..files import ProcessLock, reason
from ..protocols import Progress, no_progress
from .bank import MemoryBank
from .exact import OtherRows
from .manifest import MANIFEST_NAME, ManifestDraft, read_manifest, text_digest
from .publish import Build, Selector, write_synced
from .rows import checked_rows
from .spool import StoredPart
from .storage import Compress, spool_dtype

_NOTE_NAME = "build.json"


def check_free(path: Path, may_change: bool) -> None:
    """Refuse a path that a bank cannot be written to; cheap, so that it can come before the work.

    may_change: a bank that is there may be replaced or appended to; anything else never.

    Raises:
        BankError: something is there.
    """
    if path.exists() and not (may_change and (path / MANIFEST_NAME).exists()):
        raise BankError(f"{path} exists already; choose another name, append to it or allow to overwrite it")


class BankWriter:
    """Collects rows in `NAME.bank.building` and turns them into `NAME.bank` in one step.

    An interrupted build goes on where it stopped when all that decides its rows is the same; else it begins
    anew, and `restarted` and the progress say what differs.

    Args:
        path: the bank folder to make.
        draft: what is known before the first row.
        overwrite: replace a bank that is already there.
        append: keep the rows of the bank that is there and add to them.
        compress: how rows are stored, see `storage.choose_storage`.
        progress: told about the last steps, which may take minutes for a large bank.
        inputs: what else decides the rows, by name, JSON-able: sources and labels with digests, the step, a coreset.

    Raises:
        BankError: the bank exists, another build writes it, or the folder cannot be written.
        BankMismatchError: append to a bank of another model or config.
    """

    def __init__(  # every keyword is a choice of the user
        self,
        path: Path | str,
        draft: ManifestDraft,
        overwrite: bool = False,
        append: bool = False,
        compress: Compress = "auto",
        progress: Progress = no_progress,
        inputs: Mapping[str, Any] | None = None,
    ) -> None:
        self.path = Path(path)
        self.restarted = ""
        self._build = Build(self.path, draft, compress, progress)
        self._spool = self._build.spool
        self._lock = ProcessLock(self.path.with_name(f"{self.path.name}.lock"))
        self._added: set[tuple[str, int | None]] = set()
        self._searched: dict[str, OtherRows] = {}
        with self._disk_errors():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if not self._lock.acquire():
                raise BankError(
                    f"another build is writing this memory bank (lock {self._lock.path}); "
                    "wait for it or give another name"
                )
        try:
            self._open(inputs or {}, overwrite, append)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> BankWriter:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def n_resumed(self) -> int:
        """How many parts an earlier, interrupted run had already stored."""
        return len(self._spool.entries) - len(self._added)

    def stored_slices(self, source_id: str) -> frozenset[int]:
        """Return the parts of a source that are stored."""
        return frozenset(part for part in self._spool.parts(source_id) if part is not None)

    def add(
        self,
        source_id: str,
        rows: Mapping[str, FloatArray],
        *,
        part: int | None = None,
        n_slices: int = 1,
        digest: str = "",
        places: Mapping[str, AnyArray] | None = None,
    ) -> None:  # every keyword is stored beside the rows
        """Store the rows of a slice or a whole volume.

        Args:
            source_id: name of the volume.
            rows: feature kind -> rows (N, D); every call has the same kinds, N may be 0.
            part: which slice, when a volume is added slice by slice.
            n_slices: slices these rows come from.
            digest: SHA-256 of the volume's file.
            places: feature kind -> (N, 3), where each row comes from, see `MemoryBank.places`.
        """
        if (source_id, part) in self._added or source_id in [source.name for source in self._build.old_sources]:
            raise BankError(f"{source_id} (part {part}) was added twice; give every source and slice once")
        if part in self._spool.parts(source_id):
            return
        checked = {kind: checked_rows(kind, array) for kind, array in rows.items()}
        self._check_same_kinds(source_id, checked)
        told = {kind: (places or {}).get(kind, np.full((len(array), 3), np.nan)) for kind, array in checked.items()}
        if wrong := [kind for kind in checked if np.shape(told[kind]) != (len(checked[kind]), 3)]:
            raise BankError(f"{source_id}: places of {wrong[0]} have shape {np.shape(told[wrong[0]])}; give (N, 3)")
        with self._disk_errors():
            self._spool.append(StoredPart(source_id, part, {}, digest, n_slices), checked, told)
        self._added.add((source_id, part))
        self._searched.clear()

    def parts(self) -> list[StoredPart]:
        """Return what the bank will hold, in order: the sources it is appended to, then this build's parts."""
        old = [StoredPart(source.name, None, source.n_patches) for source in self._build.old_sources]
        return old + self._spool.entries

    def search_excluding(self, kind: str, queries: FloatArray, excluded: Sequence[bool]) -> FloatArray:
        """Return squared distances (Q,) to the nearest row outside the excluded parts.

        excluded: one flag per entry of `parts`, never set for the sources of an older version. Infinite
        where every part is excluded.
        """
        base, n_old = self._build.base, len(self._build.old_sources)
        found = self._others(kind).search_parts(queries, [not flag for flag in excluded[n_old:]])
        return np.minimum(found, base.search(kind, queries)) if base else found

    def select(self, select: Selector, words: str = "coreset") -> None:
        """Keep only some of the new rows; `search_excluding` sees the others no more.

        words: how they are chosen, for the manifest.
        """
        self._build.select(select, words)
        self._searched.clear()

    def finish(self, calibration: Mapping[str, AnyArray] | None = None) -> MemoryBank:
        """Write the bank and return it, opened.

        calibration: arrays measured on held-out normal slices.

        Raises:
            BankError: there is not one row, or the disk is full; an older bank stays as it was.
        """
        if not any(self._spool.n_rows(kind) for kind in self._spool.kinds):
            raise BankError(f"not one normal patch came in for {self.path}; check the inputs and exclusion masks")
        with self._disk_errors():
            self._spool.check()
            self._build.publish(self._build.write(calibration or {}))
        self.close()
        return MemoryBank.load(self.path, verify=False)

    def close(self) -> None:
        """Let go of the folder; an unfinished build stays on disk and can be resumed."""
        self._lock.release()

    def _open(self, inputs: Mapping[str, Any], overwrite: bool, append: bool) -> None:
        build = self._build
        build.sweep_finished()
        check_free(self.path, overwrite or append)
        if self.path.exists():
            try:
                build.previous = read_manifest(self.path)
            except BankError as error:
                raise BankError(f"{error}; to build it anew, delete the folder first") from error
        if append and build.previous:
            build.base = MemoryBank.load(self.path)
            build.base.check_fits(build.draft.config, build.draft.model_name, build.draft.model_digest)
        appended = text_digest(build.base.manifest.render()) if build.base else ""
        plan = {"storage": spool_dtype(build.compress, 1024), "bank appended to": appended}
        with self._disk_errors():
            plan = {**dataclasses.asdict(build.draft), **inputs, **plan}
            self._resume_or_restart(json.loads(json.dumps(plan, default=dict)))
            self._spool.open()

    def _resume_or_restart(self, plan: Mapping[str, Any]) -> None:
        """Delete what an interrupted build of another plan has left behind."""
        folder = self._build.folder
        note = folder / _NOTE_NAME
        try:
            earlier = json.loads(note.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            earlier = {}
        if earlier != plan and folder.exists():
            names = [name.replace("_", " ") for name in plan if earlier.get(name) != plan[name]]
            self.restarted = f"an interrupted build had another {', '.join(names)}; beginning anew"
            self._build.progress(self.restarted, 0, 1)
            shutil.rmtree(folder)
        folder.mkdir(exist_ok=True)
        write_synced(note, json.dumps(plan, indent=1))

    def _others(self, kind: str) -> OtherRows:
        if kind not in self._searched:
            spool, kept = self._spool, self._build.kept_of(kind)
            ends = np.searchsorted(kept, np.cumsum([0, *(entry.n_rows[kind] for entry in spool.entries)]))
            read = lambda numbers: spool.read(kind, kept[numbers])  # noqa: E731
            self._searched[kind] = OtherRows(read, np.diff(ends).tolist(), spool.dimension(kind))
        return self._searched[kind]

    def _check_same_kinds(self, source_id: str, rows: Mapping[str, FloatArray]) -> None:
        known = self._build.base or self._spool
        expected = {kind: known.dimension(kind) for kind in known.kinds}
        got = {kind: array.shape[1] for kind, array in rows.items()}
        if expected and list(expected.items()) != list(got.items()):
            raise BankMismatchError(f"{source_id} gives rows {got} but the bank takes {expected}; use one encoder")

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        """Turn a full disk or a folder that cannot be written into a BankError."""
        kept = f"no bank was changed, what is done so far is in {self._build.folder}"
        try:
            yield
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise BankError(
                    f"the disk of {self.path} is full; {kept}; free some space and run the build again"
                ) from error
            raise BankError(f"{self.path} cannot be written ({reason(error)}); {kept}; check the folder") from error
