"""Checkpoints are fetched from a server on this machine: whole, resumed, interrupted, altered."""

import hashlib
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from MIASSAMLib import checkpoints
from MIASSAMLib.checkpoints import download
from MIASSAMLib.cli.main import main
from MIASSAMLib.errors import Cancelled, CheckpointError, UsageError
from MIASSAMLib.sam import registry

BODY = bytes(range(256)) * 20_000
DIGEST = hashlib.sha256(BODY).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves BODY; /cut hangs up halfway, /whole ignores Range, /moved redirects to plain http, /gone is 404."""

    def do_GET(self) -> None:
        self.server.ranges.append(self.headers.get("Range"))
        if self.path == "/gone":
            return self.send_error(404)
        if self.path == "/moved":
            self.send_response(302)
            self.send_header("Location", "http://example.org/sam.pth")
            return self.end_headers()
        first = self._first_byte()
        if first >= len(BODY):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(BODY)}")
            return self.end_headers()
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(BODY) - 1}/{len(BODY)}")
        self.send_header("Content-Length", str(len(BODY) - first))
        self.end_headers()
        self.wfile.write(BODY[first : first + 2_000_000] if self.path == "/cut" else BODY[first:])

    def _first_byte(self) -> int:
        asked = self.headers.get("Range")
        return int(asked.removeprefix("bytes=").rstrip("-")) if asked and self.path != "/whole" else 0

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.ranges = []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    server.url = f"http://127.0.0.1:{server.server_port}"
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def published(server, tmp_path, monkeypatch):
    """vit_b of the registry, served from this machine into an empty cache."""
    entry = replace(registry.MODELS["vit_b"], file_name="sam.pth", url=server.url + "/sam.pth", sha256=DIGEST)
    monkeypatch.setitem(registry.MODELS, "vit_b", entry)
    monkeypatch.setenv(registry.CACHE_FOLDER_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "sam.pth"


def test_fetch_verify_list_and_remove(server, published) -> None:
    seen = []
    path = checkpoints.fetch("vit_b", lambda stage, done, total: seen.append((done, total)))
    assert path == published == checkpoints.verify("vit_b") and path.read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY)) and len(seen) > 2
    status = {status.entry.name: status for status in checkpoints.list_checkpoints()}
    assert status["vit_b"].is_present and not status["vit_h"].is_present
    assert checkpoints.remove("vit_b") and not path.exists() and not checkpoints.remove("vit_b")


def test_fetch_of_a_whole_file_asks_the_server_nothing(server, published) -> None:
    checkpoints.fetch("vit_b")
    server.ranges.clear()
    checkpoints.fetch("vit_b")
    assert server.ranges == []


def test_broken_fetch_keeps_its_part_and_goes_on(server, tmp_path) -> None:
    path = tmp_path / "sam.pth"
    with pytest.raises(CheckpointError, match="run the command again to go on"):
        download(server.url + "/cut", path, DIGEST)
    kept = (tmp_path / "sam.pth.part").stat().st_size
    assert 0 < kept < len(BODY) and not path.exists()
    download(server.url + "/sam.pth", path, DIGEST)
    assert server.ranges == [None, f"bytes={kept}-"] and path.read_bytes() == BODY
    assert not (tmp_path / "sam.pth.part").exists()


def test_server_that_cannot_resume_sends_everything_again(server, tmp_path) -> None:
    (tmp_path / "sam.pth.part").write_bytes(b"other bytes")
    download(server.url + "/whole", tmp_path / "sam.pth", DIGEST)
    assert (tmp_path / "sam.pth").read_bytes() == BODY


def test_part_that_is_already_whole_is_only_checked(server, tmp_path) -> None:
    (tmp_path / "sam.pth.part").write_bytes(BODY)
    download(server.url + "/sam.pth", tmp_path / "sam.pth", DIGEST)
    assert (tmp_path / "sam.pth").read_bytes() == BODY


def test_part_longer_than_the_file_is_dropped(server, tmp_path) -> None:
    (tmp_path / "sam.pth.part").write_bytes(BODY + b"surplus")
    download(server.url + "/sam.pth", tmp_path / "sam.pth", DIGEST)
    assert (tmp_path / "sam.pth").read_bytes() == BODY


def test_wrong_digest_is_refused_and_nothing_is_kept(server, tmp_path) -> None:
    with pytest.raises(CheckpointError, match=f"SHA-256 {DIGEST}, expected 00"):
        download(server.url + "/sam.pth", tmp_path / "sam.pth", "0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_altered_file_does_not_verify(published) -> None:
    checkpoints.fetch("vit_b")
    published.write_bytes(BODY[:-1] + b"x")
    with pytest.raises(CheckpointError, match="models remove vit_b"):
        checkpoints.verify("vit_b")


def test_cancel_keeps_the_part(server, tmp_path) -> None:
    def stop(stage, done, total) -> None:
        raise Cancelled("stop")

    with pytest.raises(Cancelled):
        download(server.url + "/sam.pth", tmp_path / "sam.pth", DIGEST, stop)
    assert (tmp_path / "sam.pth.part").stat().st_size > 0 and not (tmp_path / "sam.pth").exists()


@pytest.mark.parametrize("url", ["file:///etc/hostname", "http://example.org/sam.pth", "ftp://example.org/x"])
def test_other_addresses_than_https_are_refused(url, tmp_path) -> None:
    with pytest.raises(UsageError, match="https only"):
        download(url, tmp_path / "sam.pth", DIGEST)


def test_redirect_away_from_https_is_refused(server, tmp_path) -> None:
    with pytest.raises(UsageError, match="https only"):
        download(server.url + "/moved", tmp_path / "sam.pth", DIGEST)


def test_missing_file_on_the_server_is_reported(server, tmp_path) -> None:
    with pytest.raises(CheckpointError, match="404"):
        download(server.url + "/gone", tmp_path / "sam.pth", DIGEST)


def test_model_that_is_not_there_does_not_verify(published) -> None:
    with pytest.raises(CheckpointError, match="models fetch vit_b"):
        checkpoints.verify("vit_b")


@pytest.mark.parametrize(
    ("name", "words"),
    [("embedded", "inside the package"), ("medsam", "given by its file"), ("vit_x", "unknown")],
)
def test_model_that_is_not_downloaded_is_a_usage_error_saying_why(name, words) -> None:
    with pytest.raises(UsageError, match=rf"{words}.*vit_t, vit_b, vit_l"):
        checkpoints.fetch(name)


def test_shipped_model_verifies_and_stays() -> None:
    assert checkpoints.verify("embedded").is_file()
    with pytest.raises(UsageError, match="inside the package"):
        checkpoints.remove("embedded")


def test_models_list_names_every_row_of_the_table(published, capsys) -> None:
    assert main(["models", "list"]) == 0
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines()] == list(registry.MODELS)
    assert "miassam models fetch vit_t (41 MB)" in shown and "bowang-lab/MedSAM" in shown


def test_folder_that_cannot_be_made_is_reported(server, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        download(server.url + "/sam.pth", tmp_path / "file" / "sam.pth", DIGEST)


def test_published_addresses_are_https() -> None:
    assert all(entry.url.startswith("https://") and len(entry.sha256) == 64 for entry in registry.downloadable())
