"""Starting and ending a server process, told with a stand-in that only writes a state file."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from linnet.config import ServingConfig
from linnet.errors import ServingError
from linnet.process.model_server import ServerProcess, ServerState, server_command

SERVE = """
import os, pathlib, sys, time
from linnet.process.model_server import ServerState
ServerState.of(os.getpid(), "http://127.0.0.1:1", "secret").write(pathlib.Path(sys.argv[1]))
time.sleep(60)
"""


def test_state_is_private_and_keeps_its_token_out_of_sight(tmp_path: Path) -> None:
    state = ServerState.of(os.getpid(), "http://127.0.0.1:1", "secret")
    state.write(tmp_path / "server.json")
    assert ServerState.read(tmp_path / "server.json") == state
    assert stat.S_IMODE((tmp_path / "server.json").stat().st_mode) == 0o600
    assert "secret" not in repr(state)


def test_state_of_a_process_whose_id_somebody_else_has_by_now_is_none(tmp_path: Path) -> None:
    file = tmp_path / "server.json"
    state = ServerState.of(os.getpid(), "http://127.0.0.1:1", "secret")
    replace(state, instance=str(int(state.instance) - 1)).write(file)
    assert ServerState.read(file) is None and ServerState.last(file) is not None
    file.write_text(json.dumps({"url": "http://127.0.0.1:1", "pid": os.getpid(), "token": "older"}))
    assert ServerState.read(file) is None


def test_state_of_a_process_that_ended_and_was_not_collected_is_none(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        state = ServerState.of(process.pid, "http://127.0.0.1:1", "secret")
        assert state.is_running() and not state.wait_for_exit(0.05)
        process.kill()
        assert state.wait_for_exit(5) and Path(f"/proc/{process.pid}").exists()


def test_process_is_ready_when_it_is_there_and_gone_when_it_is_stopped(tmp_path: Path) -> None:
    state_file = tmp_path / "server.json"
    ServerState.of(os.getpid(), "http://127.0.0.1:2", "of an older server").write(state_file)
    command = [sys.executable, "-c", SERVE, str(state_file)]
    process = ServerProcess(command, state_file, tmp_path / "output")
    assert process.state == ServerState.of(process.pid, "http://127.0.0.1:1", "secret")
    process.stop()
    assert ServerState.read(state_file) is None
    process.stop()


def test_process_that_ends_at_once_says_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "import sys; sys.exit('starting\\nerror: the port is taken')"]
    with pytest.raises(ServingError, match=r"^the port is taken$"):
        ServerProcess(command, tmp_path / "server.json", tmp_path / "output")


def test_server_command_is_one_that_the_server_understands(tmp_path: Path) -> None:
    from linnet.serving.__main__ import parse_arguments

    serving = ServingConfig(port=0, threads=1, log_images=0.5)
    words = server_command(tmp_path, "3", serving, tmp_path / "s.json", tmp_path / "log")
    launch = parse_arguments(words[3:])
    (model,) = launch.models
    assert (model.package, model.version, launch.config) == (tmp_path, "3", serving)
    assert (launch.state_file, launch.log_dir) == (tmp_path / "s.json", tmp_path / "log")
