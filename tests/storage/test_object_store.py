"""Object stores without credentials: a server in the place of Google's store and of its metadata service."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any, ClassVar
from urllib.parse import unquote

import pytest

from linnet.storage.object_store import _CREDENTIALS, first_answer

TOKEN = "/computeMetadata/v1/instance/service-accounts/default/token"


class Cloud(http.server.BaseHTTPRequestHandler):
    """`/public/one.txt` is for everybody, `/private/one.txt` for who brings the machine's token."""

    has_identity: ClassVar[bool] = True
    asked: ClassVar[list[str]] = []

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        known = self.headers.get("Authorization") == "Bearer it-is-me"
        Cloud.asked.append(path)
        if path == TOKEN:
            token = {"access_token": "it-is-me", "expires_in": 3600, "token_type": "Bearer"}
            self.answer(200 if Cloud.has_identity else 404, json.dumps(token).encode())
        elif path.startswith("/private/") and not known:
            self.answer(401, b"Anonymous caller does not have storage.objects.get access")
        elif "list-type=2" in self.path:
            self.answer(200, b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>")
        else:
            self.answer(200 if path.endswith("/one.txt") else 404, b"linnet")

    do_HEAD = do_GET

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Sat, 28 Nov 2026 00:00:00 GMT")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> Iterator[None]:
    """Nobody's credentials in the environment, and the store at a server on loopback."""
    Cloud.has_identity = True
    Cloud.asked.clear()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Cloud) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        for name in _CREDENTIALS["gs"]:
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("GOOGLE_BASE_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("GCE_METADATA_HOST", f"127.0.0.1:{server.server_port}")
        yield
        server.shutdown()


def read(path: str) -> bytes:
    system, about = first_answer("gs", lambda system: system.info(path))
    assert about["size"] == 6
    return bytes(system.cat_file(path))


@pytest.mark.usefixtures("cloud")
def test_public_bucket_is_read_by_nobody_in_particular() -> None:
    assert read("public/one.txt") == b"linnet"
    assert TOKEN not in Cloud.asked


@pytest.mark.usefixtures("cloud")
def test_private_bucket_is_read_as_the_machine_where_it_has_an_identity() -> None:
    assert read("private/one.txt") == b"linnet"
    assert TOKEN in Cloud.asked


@pytest.mark.usefixtures("cloud")
def test_private_bucket_says_which_variable_would_open_it() -> None:
    Cloud.has_identity = False
    with pytest.raises(PermissionError, match=r"is not public.*: set GOOGLE_APPLICATION_CREDENTIALS"):
        read("private/one.txt")


@pytest.mark.usefixtures("cloud")
def test_public_object_that_is_not_there_is_missing_and_nobody_asks_for_a_token() -> None:
    with pytest.raises(FileNotFoundError):
        first_answer("gs", lambda system: system.info("public/none.txt"))
    assert TOKEN not in Cloud.asked


@pytest.mark.usefixtures("cloud")
def test_named_credentials_are_the_only_ones_that_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_BEARER_TOKEN", "it-is-me")
    assert read("private/one.txt") == b"linnet"
    assert TOKEN not in Cloud.asked
