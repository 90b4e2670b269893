"""`linnet up` starts what was killed again, tells, and has windows judged; `linnet down` ends it for good."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from linnet.commands import keep
from linnet.commands.systemd import unit, unit_name
from linnet.config import EngineConfig
from linnet.errors import ServingError
from linnet.process.model_server import ServerState
from linnet.process.state import ProcessState
from linnet.storage.paths import server_state_file
from tests.e2e.use_case import UseCase
from tests.registry import conftest
from tests.registry.conftest import Submit

database, steps, submit = conftest.database, conftest.steps, conftest.submit


def wait_for(what: Callable[[], bool], seconds: float = 240) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.1)


def pid_of(case: UseCase, name: str) -> int | None:
    try:
        values = json.loads((case.state / name).read_text())
    except (OSError, ValueError):  # it is being written
        return None
    found = ProcessState(values["url"], values["pid"], values["instance"])
    return found.pid if found.is_running() else None


def test_restart_asks_for_what_could_not_be_loaded_too_and_forgets_nothing_when_it_fails(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that one start could not load was not tried again; a start that failed forgot them all."""
    asked: list[tuple[list[str], int | None]] = []

    def start(names: list[str], _configs: list[Path], port: int | None) -> str:
        asked.append((names, port))
        server_state_file().unlink(missing_ok=True)  # as a start does that fails
        raise ServingError("the port is taken")

    monkeypatch.setattr(keep, "start_detached", start)
    server_state_file().parent.mkdir(parents=True)
    ServerState("http://127.0.0.1:4321", 2**22, "1", "t", ["fine"], {"broken": "damaged"}).write(
        server_state_file()
    )
    watched = keep.watchdog([], EngineConfig(), server=True)
    for _ in range(2):
        with pytest.raises(ServingError):
            watched.start["server"]()
    assert asked == [(["broken", "fine"], 4321)] * 2
    del state


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_killed_engine_server_and_console_are_started_again_and_down_ends_all(
    database: Path, submit: Submit, tmp_path: Path
) -> None:
    """Before: whatever was killed stayed so, and nobody was told."""
    from linnet.registry.champion import ModelRegistry
    from linnet.registry.mlflow_registry import MlflowRegistry

    registry, case = ModelRegistry(MlflowRegistry(), "ada@lab"), UseCase(tmp_path / "work")
    version = registry.register(submit(60.0, model="tiny"))
    registry.promote("tiny", version.version, None, override="by hand")
    case.folder.mkdir()
    shutil.copytree(database.parents[1], case.state)
    shape = '[data]\nheight = 8\nwidth = 8\ncolor = "gray"\n'
    (case.folder / "tiny.toml").write_text(f'name = "tiny"\n{shape}[serving]\nworkers = 1\n')
    up = case.linnet("up", "--detach", "--port", "0", "--engine-port", "0", "--console-port", "0")
    try:
        assert up.returncode == 0, up.stdout + up.stderr
        parts = {
            "engine": "engine/engine.json",
            "server": "serving/server.json",
            "console": "console/console.json",
        }
        before = {part: (pid_of(case, file), address(case, file)) for part, file in parts.items()}
        assert all(pid for pid, _ in before.values()), before
        wait_for(lambda: "is judged from now on" in (case.state / "keeper" / "keeper.log").read_text())
        for pid, _ in before.values():
            assert pid is not None
            os.kill(pid, 9)
        wait_for(
            lambda: all(pid_of(case, file) not in (None, before[part][0]) for part, file in parts.items())
        )
        for part, file in parts.items():
            assert address(case, file) == before[part][1], f"the {part} is where people know it"
        told = json.loads(case.linnet("status", "--json").stdout)["models"][0]["lines"]
        restarted = {line["what"] for line in told if "restarted" in line["what"]}
        assert restarted == {f"The {part} was restarted" for part in parts}
    finally:
        down = case.linnet("down")
    assert down.returncode == 0, down.stderr
    time.sleep(2)
    assert case.processes() == {}, "what was stopped is not started again"


def address(case: UseCase, file: str) -> str:
    return str(json.loads((case.state / file).read_text())["url"])


def test_unit_says_the_same_command_whatever_is_in_its_words(tmp_path: Path) -> None:
    folder = tmp_path / '50 % $HOME "x" \\ y'
    text = unit(["up", "--config", str(folder / "a b.toml")], folder / "state", folder)
    start = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    words = shlex.split(start.removeprefix("ExecStart=").replace("%%", "%").replace("$$", "$"))
    assert words == [sys.executable, "-m", "linnet", "up", "--config", str(folder / "a b.toml")]
    assert "Restart=always" in text and "KillSignal=SIGINT" in text and "down" in text
    assert unit_name(folder) != unit_name(folder / "state")


def test_install_writes_the_unit_and_starts_nothing(tmp_path: Path, state: Path) -> None:
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path / "config"), "LINNET_HOME": str(state)}
    command = [sys.executable, "-m", "linnet", "up", "--no-console", "--install"]
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "config" / "systemd" / "user" / unit_name(state.resolve())
    assert f"systemctl --user enable --now {path.name}" in done.stdout
    (start,) = [line for line in path.read_text().splitlines() if line.startswith("ExecStart=")]
    assert '"--no-console"' in start and "--install" not in start
    if verify := shutil.which("systemd-analyze"):
        place = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}  # a user without a session has none
        checked = subprocess.run(
            [verify, "--user", "verify", str(path)], env=place, capture_output=True, text=True
        )
        assert checked.returncode == 0, checked.stderr
    assert not (state / "engine").exists()
