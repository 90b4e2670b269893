"""`linnet predict` of many images: what was answered is told, also where the server gives up on the way."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from linnet.cli import app
from linnet.process.model_server import ServerState
from linnet.storage.paths import server_state_file
from tests.serving.running import png

ANSWER = {"model": "tiny", "version": "1", "predictions": [{"class": "dark", "probability": 0.9}]}


class Busy(BaseHTTPRequestHandler):
    """A server that answers two images and is then overloaded for good."""

    left = 2

    def do_GET(self) -> None:
        self._say(200, [{"name": "tiny", "version": "1", "state": "READY", "reason": ""}])

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).left -= 1
        self._say(*((200, ANSWER) if self.left >= 0 else (429, {"error": "too many requests"})))

    def log_message(self, *_: Any) -> None:
        pass

    def _say(self, status: int, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def images(state: Path, tmp_path: Path) -> Iterator[list[str]]:
    """Four images, and a server that answers half of them."""
    Busy.left = 2
    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        server_state_file().parent.mkdir(parents=True)
        ServerState.of(os.getpid(), f"http://127.0.0.1:{server.server_port}", "t", ["tiny"]).write(
            server_state_file()
        )
        paths = [tmp_path / f"{number}.png" for number in range(4)]
        for path in paths:
            path.write_bytes(png(9))
        yield [str(path) for path in paths]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("flags", [["--json"], []])
def test_predict_that_is_refused_on_the_way_tells_what_was_answered(
    images: list[str], flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    done = CliRunner().invoke(app, ["predict", *flags, *images])
    assert done.exit_code != 0 and "2.png: too many requests" in str(done.exception)
    assert [name in done.stdout for name in ("0.png", "1.png", "2.png", "3.png")] == [
        True,
        True,
        False,
        False,
    ]
