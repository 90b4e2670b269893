"""Incidents are played on a real server, and the commands of their runbooks run as they are written."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from linnet.cli import app
from linnet.commands.serve import serve_champions, stop_server
from linnet.commands.terminal import terminal
from linnet.config import MonitoringConfig
from linnet.deployment.journal import Journal
from linnet.deployment.local_server import EmbeddedServer
from linnet.errors import LinnetError
from linnet.features.skew import audit_window
from linnet.monitoring.log_reader import read_served
from linnet.monitoring.measure import measure_drift
from linnet.monitoring.performance import measure_performance
from linnet.monitoring.publish import publish
from linnet.monitoring.window import write_window
from linnet.records import GateDecision
from linnet.records.refused import refused_requests
from linnet.registry.champion import ModelRegistry
from linnet.registry.mlflow_registry import MlflowRegistry
from linnet.registry.protocol import Submission
from linnet.serving.client import ServerClient
from linnet.storage.paths import prediction_log_dir, server_state_file
from linnet.vision.decode import encode_png
from tests.docs.runbooks import PAGES, Step, named, steps
from tests.monitoring import conftest as monitored
from tests.monitoring.conftest import pictures
from tests.packaging.folders import make_folders

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
champion = monitored.champion
PAGE = {page.stem: page for page in PAGES}
DRIFTED = 320


@pytest.fixture(scope="module")
def home(champion: Path, migrated: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which champion 2, after 1, is served by `linnet up --detach`'s server; version 3 waits."""
    folder = tmp_path_factory.mktemp("oncall")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINNET_HOME", str(folder / ".linnet"))
        patch.chdir(folder)
        (folder / ".linnet" / "mlflow").mkdir(parents=True)
        (folder / ".linnet" / "mlflow" / "mlflow.db").write_bytes(migrated.read_bytes())
        GateDecision(stage="package", verdict="pass", gates=()).save(champion / "gates.json")
        made, registry = make_folders(folder / "steps"), ModelRegistry(MlflowRegistry(), "ada@lab")
        for number in range(3):
            package = Path(shutil.copytree(champion, folder / f"package-{number}"))
            about = json.loads((package / "package.json").read_text())
            (package / "package.json").write_text(json.dumps(about | {"size_mb": number / 100}))
            registry.register(
                Submission(
                    model="tiny", package=package, evaluation=made.evaluation, training=made.model,
                    config={"number": number}, tags={"gate_verdict": "pass"},
                )
            )  # fmt: skip
        registry.promote("tiny", "1", None, override="the first")
        registry.promote("tiny", "2", "1", override="better")
        shape = '[data]\nheight = 8\nwidth = 8\ncolor = "gray"\n'
        serving = "[serving]\nport = 0\nworkers = 1\nlog_images = 1.0\nlease_seconds = 600.0\n"
        (folder / "tiny.toml").write_text(f'name = "tiny"\n{shape}{serving}')
        serve_champions(["tiny"], [folder / "tiny.toml"], None, detach=True, console=terminal())
        try:
            yield folder
        finally:
            stop_server()


@pytest.fixture
def oncall(home: Path, state: Path, monkeypatch: pytest.MonkeyPatch) -> ServerClient:
    """The person on call, in that folder."""
    del state  # of its own, which this comes after
    monkeypatch.setenv("LINNET_HOME", str(home / ".linnet"))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(home)
    return ServerClient.from_state(server_state_file(), model="tiny")


def do(step: Step, values: dict[str, str] | None = None) -> str:
    """Runs a command as it is written; `values` stand for its words in capitals. Returns what it said.

    It must end as a command does, and say what the runbook says that it says.
    """
    words = [(values or {}).get(word, word) for word in step.words]
    done = CliRunner().invoke(app, words)
    told = done.output + (f"error: {done.exception}" if isinstance(done.exception, LinnetError) else "")
    assert done.exception is None or isinstance(done.exception, SystemExit | LinnetError), done.exc_info
    assert not step.says or any(said in told for said in step.says), f"{step.command}: {told}"
    return told


def played(page: str, section: str) -> list[Step]:
    return [step for step in steps(PAGE[page]) if step.section == section]


def wait_for(what: Callable[[], bool], seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until
        time.sleep(0.05)


def logged() -> int:
    end = datetime.now(UTC) + timedelta(minutes=1)
    start = end - timedelta(hours=1)
    with contextlib.suppress(LinnetError):
        return int(read_served(prediction_log_dir(), "tiny", "2", start, end, end, 0).rows.num_rows)
    return 0


def judge_the_window(package: Path, scratch: Path) -> None:
    """What the monitoring pipeline does of itself when a window is closed."""
    log, config, end = prediction_log_dir(), MonitoringConfig(), datetime.now(UTC) + timedelta(seconds=1)
    window, out = scratch / "window", scratch / "out"
    write_window(log, "tiny", "2", end - timedelta(hours=1), end, config, window, all_images=True)
    drift = measure_drift(window, package, config, [], out)
    measure_performance(window, package, log, drift, config, out)
    audit_window(window, package, "tiny", out, False, False, None).save(out / "skew.json")
    publish(window, package, [out], out)


def test_drift_is_found_where_the_runbook_says(oncall: ServerClient, champion: Path, tmp_path: Path) -> None:
    for image in pictures(DRIFTED, 3, low=20, high=40):
        oncall.request("POST", "/predict/tiny", encode_png(np.asarray(image)))
    wait_for(lambda: logged() == DRIFTED)
    judge_the_window(champion, tmp_path)
    told = [do(step) for step in played("drift", "Look")]
    assert "DATA" in told[0] and "brightness" in told[0]
    do(next(step for step in played("drift", "Do") if "retraining check" in step.command))
    for page in ("drift", "accuracy", "skew"):  # the files that they name are where they say
        for name in (name for name in named(PAGE[page]) if name.startswith(".linnet/")):
            pattern = name.replace("MODEL", "*").replace("VERSION", "*").replace("WINDOW", "*").rstrip("/")
            assert list(Path().glob(pattern)), name


def test_refused_inputs_are_found_where_the_runbook_says(oncall: ServerClient) -> None:
    """And sent again, once the server takes what it did not (here: never)."""
    for _ in range(40):
        oncall.request("POST", "/predict/tiny", b"no image")
    wait_for(lambda: bool(list(refused_requests(Path(".linnet/serving/refused")))))
    ((newest, _), *_) = refused_requests(Path(".linnet/serving/refused"))
    for step in (*played("valid-input", "Look"), *played("valid-input", "Do")):
        if step.words[0] != "run":
            do(step, {"REQUEST": newest.request_id})
    assert Path("body").read_bytes() == b"no image"


def test_dead_judge_is_undone_as_the_runbook_says(oncall: ServerClient, champion: Path) -> None:
    """Following it, the healthy champion stays (before issue 20 it was demoted)."""
    oncall.load("3", champion)
    oncall.set_routes("2", "3", 1)
    journal = Journal(Path(".linnet/rollouts/tiny.json").resolve())
    journal.path.parent.mkdir(parents=True, exist_ok=True)
    journal.write(
        {"model": "tiny", "candidate": "3", "champion": "2", "percent": 1, "phase": "running", "total": 9.0,
         "started_at": "2026-01-01T00:00:00+00:00", "at": "2026-01-01T00:00:09+00:00"}
    )  # fmt: skip
    look = played("rollout", "Look")
    assert "its process is gone" in do(look[0])
    do(look[1])
    abort = next(step for step in played("rollout", "Do") if "abort" in step.command)
    assert "all traffic is with the champion" in do(abort)
    assert "rolled back" in do(look[0])
    server = EmbeddedServer.find(server_state_file(), "tiny", "3")
    assert server is not None
    assert server.routes()["champion"] == "2" and server.routes()["candidate"] is None
    server.close()
    listed = do(next(step for step in played("rollout", "Back") if "list" in step.command))
    assert any("champion" in line and "2" in line for line in listed.splitlines())


def test_server_that_is_down_is_found_and_started_as_the_runbook_says(oncall: ServerClient) -> None:
    del oncall
    assert Path(".linnet/serving/server.log").exists()
    stop_server()
    look = played("down", "Look")
    assert "INFRASTRUCTURE" in do(look[0]) and "NOT WELL" in do(look[1])
