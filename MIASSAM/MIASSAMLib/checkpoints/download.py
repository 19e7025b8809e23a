"""Fetch one file over https: resumable, checked, and named only when it is whole."""

from __future__ import annotations

import http.client
import os
import shutil
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ..errors import CheckpointError, UsageError
from ..files import sha256_of_file
from ..protocols import Progress, no_progress

PART_SUFFIX = ".part"
_PIECE_BYTES = 1 << 20
_TIMEOUT_S = 30.0
_RANGE_NOT_SATISFIABLE = 416
_LOOPBACK = ("127.0.0.1", "::1", "localhost")


def download(url: str, path: Path, sha256: str, progress: Progress = no_progress) -> None:
    """Fetch a file whose SHA-256 is known.

    What arrives is kept in `path` + ".part"; a later call goes on from there. The part is checked and
    renamed when complete, and deleted when its digest is wrong.

    Args:
        url: https address (http only on this machine, for tests).
        path: final name.
        sha256: hex digest the file must have.
        progress: told the bytes done and the bytes to come; raise `Cancelled` from it to stop.

    Raises:
        UsageError: the address is not https, or the folder cannot be written.
        CheckpointError: the network failed, the disk is full or the digest is wrong.
    """
    _check_address(url)
    part = path.with_name(path.name + PART_SUFFIX)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _fetch_rest(url, part, progress)
        _check_digest(part, sha256, url)
        os.replace(part, path)
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        raise CheckpointError(
            f"fetching {url} broke off ({error}); {_size(part)} bytes are kept: run the command again to go on"
        ) from error
    except OSError as error:
        raise UsageError(f"cannot write {path} ({error}); free the place or set MIASSAM_CHECKPOINTS") from error


def _fetch_rest(url: str, part: Path, progress: Progress) -> None:
    """Append what is still missing to the part; start over when the server cannot resume."""
    have = _size(part)
    try:
        answer = _open(url, have)
    except urllib.error.HTTPError as error:
        if error.code != _RANGE_NOT_SATISFIABLE:
            raise
        if _total_of(error.headers.get("Content-Range")) == have:
            return
        part.unlink()
        have, answer = 0, _open(url, 0)
    with answer:
        resumes = answer.status == http.client.PARTIAL_CONTENT and _first_of(answer) == have
        if have and answer.status == http.client.PARTIAL_CONTENT and not resumes:
            part.unlink()
            raise CheckpointError(f"{url} sent another piece than the one asked for; run the command again")
        _copy(answer, part, have if resumes else 0, progress)


def _copy(answer: Any, part: Path, have: int, progress: Progress) -> None:
    expected = int(answer.headers.get("Content-Length") or 0)
    total = have + expected
    _check_room(part, expected)
    with part.open("ab" if have else "wb") as stream:
        while piece := answer.read(_PIECE_BYTES):
            stream.write(piece)
            have += len(piece)
            progress("fetching", have, max(total, have))
    if have < total:
        raise http.client.IncompleteRead(b"", total - have)


def _open(url: str, first_byte: int) -> Any:
    request = urllib.request.Request(url, headers={"Range": f"bytes={first_byte}-"} if first_byte else {})
    opener = urllib.request.build_opener(_SafeRedirects)
    return opener.open(request, timeout=_TIMEOUT_S)


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follow redirects to https only."""

    def redirect_request(  # the parameters are urllib's
        self, req: Any, fp: Any, code: Any, msg: Any, headers: Any, newurl: str
    ) -> Any:
        _check_address(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise UsageError(f"checkpoints are fetched over https only, not from {url}")


def _check_digest(part: Path, sha256: str, url: str) -> None:
    found = sha256_of_file(part)
    if found != sha256:
        part.unlink()
        raise CheckpointError(
            f"{url} gave a file with SHA-256 {found}, expected {sha256}; it was deleted: fetch again, "
            "and if this repeats the file was changed at its source"
        )


def _check_room(part: Path, n_bytes: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if n_bytes > free:
        raise CheckpointError(
            f"{part.parent} has {free / 1e6:.0f} MB free, but {n_bytes / 1e6:.0f} MB are to come; "
            "free some space or set MIASSAM_CHECKPOINTS to another folder"
        )


def _size(part: Path) -> int:
    return part.stat().st_size if part.is_file() else 0


def _first_of(answer: Any) -> int:
    """Return the first byte of a "bytes FIRST-LAST/TOTAL" header, -1 when it says none."""
    words = (answer.headers.get("Content-Range") or "").removeprefix("bytes ").split("-")
    return int(words[0]) if words[0].isdigit() else -1


def _total_of(content_range: str | None) -> int:
    words = (content_range or "").split("/")
    return int(words[-1]) if words[-1].isdigit() else -1
