"""`linnet up` brings up what is missing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from linnet.process.model_server import ServerState
from linnet.process.state import started_at

ROOT = Path(__file__).parents[2]


def linnet(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LINNET_HOME": str(home / "state"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "linnet", *words]
    return subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_engine_that_was_killed_is_started_beside_the_server_that_lives(tmp_path: Path) -> None:
    words = ("up", "--detach", "--no-console", "--engine-port", "0")
    engine = tmp_path / "state" / "engine" / "engine.json"
    server = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(300)"])  # stands for the server
    try:
        state = ServerState(
            url="http://127.0.0.1:1",
            pid=server.pid,
            instance=str(started_at(server.pid)),
            token="x" * 20,
            models=["shoes"],
        )  # fmt: skip
        state.write(tmp_path / "state" / "serving" / "server.json")
        first = linnet(tmp_path, *words)
        assert first.returncode == 0 and "served already" in first.stdout, first.stdout + first.stderr
        pid = json.loads(engine.read_text())["pid"]
        os.kill(pid, 9)
        again = linnet(tmp_path, *words)
        assert again.returncode == 0, again.stdout + again.stderr
        fresh = json.loads(engine.read_text())["pid"]
        assert fresh != pid and started_at(fresh) is not None and server.poll() is None
        other = linnet(tmp_path, *words, "--port", "9999")
        assert other.returncode != 0 and "another port" in other.stderr
    finally:
        linnet(tmp_path, "down")
        server.kill()
        server.wait()


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_all_that_the_command_in_a_terminal_started(tmp_path: Path, number: int) -> None:
    """SIGTERM, and a terminal that was closed, left its keeper, engine and console running."""
    home = tmp_path / "state"
    environment = {**os.environ, "LINNET_HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "linnet", "up", "--engine-port", "0", "--console-port", "0"]
    up = subprocess.Popen(
        command, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    try:
        assert up.stdout is not None
        for line in up.stdout:
            if "Ctrl-C stops it" in line:
                break
        files = [home / name / f"{name}.json" for name in ("engine", "console", "keeper")]
        started = [json.loads(file.read_text())["pid"] for file in files]
        assert all(started_at(pid) is not None for pid in started)
        up.send_signal(number)
        assert up.wait(60) == 0
        assert [pid for pid in started if started_at(pid) is not None] == [], "it left something behind"
    finally:
        up.kill()
        up.communicate()
        linnet(tmp_path, "down")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_config_of_the_engine_alone_starts_an_engine_that_takes_uploads(tmp_path: Path) -> None:
    from kfp import dsl

    from tests.engine.engines import client_of, quiet, wait_for

    @dsl.container_component
    def hello():  # type: ignore[no-untyped-def]
        return dsl.ContainerSpec(image="alpine", command=["echo", "hello"])

    @dsl.pipeline(name="hello")
    def pipeline():  # type: ignore[no-untyped-def]
        hello()

    (tmp_path / "machine.toml").write_text(
        '[engine]\nallow_uploads = true\ncontainers = "process"\nport = 0\nmirror_runs = false\n'
    )
    try:
        up = linnet(tmp_path, "up", "--detach", "--no-console", "--config", "machine.toml")
        assert up.returncode == 0, up.stdout + up.stderr
        url = json.loads((tmp_path / "state" / "engine" / "engine.json").read_text())["url"]
        client = client_of(url)
        with quiet():
            run_id = client.create_run_from_pipeline_func(pipeline, arguments={}).run_id
        assert wait_for(client, run_id).state == "SUCCEEDED"
        told = (tmp_path / "state" / "runs" / run_id / "log.txt").read_text()
        assert "hello: WARNING: no container: runs as a process of this machine" in told
    finally:
        linnet(tmp_path, "down")


def test_config_of_the_engine_alone_is_checked_like_any(tmp_path: Path) -> None:
    (tmp_path / "machine.toml").write_text('[engine]\ncontainers = "lxc"\n')
    up = linnet(tmp_path, "up", "--config", "machine.toml")
    assert up.returncode == 2 and "engine.containers" in up.stderr, up.stderr
