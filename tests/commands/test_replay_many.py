"""`linnet requests replay` of many: one that gets no answer hides none of the others."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from typer.testing import CliRunner

from linnet.cli import app
from linnet.process.model_server import ServerState
from linnet.records.refused import RefusedRequest, quarantine_folder, write_refused
from linnet.storage.paths import prediction_log_dir, server_state_file

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Breaks(BaseHTTPRequestHandler):
    """A server that hangs up on a body of `x`."""

    def do_POST(self) -> None:
        if self.rfile.read(int(self.headers["Content-Length"])) == b"x":
            self.close_connection = True
            return
        body = json.dumps({"predictions": [{"class": "dark", "probability": 0.9}]}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def kept() -> Iterator[list[str]]:
    """Three refused requests that are kept; the server hangs up on the second."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Breaks) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        server_state_file().parent.mkdir(parents=True)
        url = f"http://127.0.0.1:{server.server_port}"
        ServerState.of(os.getpid(), url, "t", ["tiny"]).write(server_state_file())
        for number, body in enumerate((b"a", b"x", b"c")):
            request = RefusedRequest(
                request_id=f"r{number}", at=NOW + timedelta(seconds=number), model="tiny", status=400,
                reason="decode", problem="no image", method="POST", path="/predict", headers={},
                size=1, kept=True,
            )  # fmt: skip
            write_refused(quarantine_folder(prediction_log_dir()), request, body, number)
        yield ["r0", "r1", "r2"]
        server.shutdown()
        thread.join()


def test_request_that_gets_no_answer_hides_none_of_the_others(
    kept: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    done = CliRunner().invoke(app, ["requests", "replay"])
    assert done.exit_code == 1 and all(name in done.stdout for name in kept)
    assert "2 of 3 are answered now" in done.stdout and "closed the connection" in done.stdout
