"""A server beside the engine, as a process: where it says it is, and how it ends."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from linnet.commands.up import down
from linnet.errors import RunError
from linnet.process.sidecar import Sidecar

PROGRAM = """
import sys
from fastapi import FastAPI
from linnet.process.sidecar import Sidecar
from linnet.errors import LinnetError

try:
    Sidecar("thing", "thing_beside").serve(FastAPI(), "127.0.0.1", int(sys.argv[1]), print)
except LinnetError as error:
    sys.exit(f"error: {error}")
"""


@pytest.fixture
def thing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sidecar:
    (tmp_path / "thing_beside.py").write_text(PROGRAM)
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return Sidecar("thing", "thing_beside")


def test_server_says_where_it_is_and_stops_once(thing: Sidecar) -> None:
    state = thing.start("0")
    assert thing.running() == state
    port = int(state.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), 5):
        pass
    with pytest.raises(RunError, match=f"the thing cannot listen on 127.0.0.1:{port}: .*choose another port"):
        thing.start(str(port))
    assert thing.running() == state, "a second one that failed leaves the first one's state"
    assert thing.stop() and not thing.stop()
    assert not thing.state_file.exists()


def test_process_that_only_has_the_id_of_a_killed_server_is_left_alone(thing: Sidecar) -> None:
    thing.folder.mkdir(parents=True)
    state = {"url": "http://127.0.0.1:1", "pid": os.getpid(), "instance": "1", "folder": "/"}
    thing.state_file.write_text(json.dumps(state))
    assert thing.running() is None and not thing.stop()


def test_one_that_does_not_end_keeps_none_of_the_others_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path))
    for name in ("a", "b", "c"):
        (tmp_path / f"label-service-{name}").mkdir()
    asked = []

    def stop(server: Sidecar) -> bool:
        asked.append(server.name)
        if server.name == "label-service-b":
            raise RunError("the label service does not end")
        return True

    monkeypatch.setattr(Sidecar, "stop", stop)
    with pytest.raises(RunError, match="the label service does not end"):
        down()
    assert sorted(asked) == ["console", "label-service-a", "label-service-b", "label-service-c"]
