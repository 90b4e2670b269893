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
from pyarrow import csv
from pyarrow import parquet as pq
from typer.testing import CliRunner

from linnet.cli import app
from linnet.commands.answer_table import FORMATS
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


@pytest.mark.parametrize("ending", FORMATS)
def test_table_holds_what_was_answered_before_the_server_gave_up(
    images: list[str], ending: str, tmp_path: Path
) -> None:
    out = tmp_path / "new" / f"answers{ending}"
    done = CliRunner().invoke(app, ["predict", "--out", str(out), *images])
    assert done.exit_code != 0 and "2.png: too many requests" in str(done.exception)
    assert "answers" + ending + ": 2 of 4 images" in done.stderr.replace("\n", "")
    read = pq.read_table(out) if ending == ".parquet" else csv.read_csv(out)
    assert read.column("image").to_pylist() == images[:2]
    assert read.column("class").to_pylist() == ["dark", "dark"]
    assert read.column("probability").to_pylist() == [0.9, 0.9]
    assert json.loads(read.column("predictions")[0].as_py()) == ANSWER["predictions"]


def test_table_names_files_that_could_not_be_answered_and_replaces_none(
    images: list[str], tmp_path: Path
) -> None:
    gone, out = str(tmp_path / "gone.png"), tmp_path / "answers.csv"
    done = CliRunner().invoke(app, ["predict", "--out", str(out), images[0], gone])
    assert done.exit_code == 1 and "2 of 2 images, 1 of them with an error" in done.stderr.replace("\n", " ")
    assert csv.read_csv(out).column("error").to_pylist()[1].startswith("cannot be read")
    for path, problem in ((out, "exists"), (tmp_path / "answers.xlsx", "end it in .parquet or .csv")):
        again = CliRunner().invoke(app, ["predict", "--out", str(path), images[0]])
        assert problem in str(again.exception)
