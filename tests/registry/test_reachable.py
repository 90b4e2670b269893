"""A remote MLflow that is down is waited for once, and holds up nothing that another one keeps."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from linnet.automation.interrupted_moves import settle
from linnet.automation.metrics import exposition
from linnet.config import RegistryConfig, RetrainingConfig
from linnet.errors import RegistryUnreachable
from linnet.records import LedgerEntry, RunRequest, now
from linnet.registry import reachable, run_mirror
from linnet.registry.champion import ModelRegistry
from linnet.registry.mlflow_registry import MlflowRegistry
from linnet.registry.reachable import require_reachable
from linnet.retraining.known_models import KnownModel
from linnet.run import ending, runs
from tests.registry.conftest import Submit

SOON = 20.0
"""Seconds; MLflow's own client takes about 240 for each call."""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


@pytest.fixture(autouse=True)
def nothing_believed() -> None:
    reachable._believed.clear()


@pytest.fixture
def down() -> str:
    """A tracking URI where nobody listens."""
    return f"http://ada:secret@127.0.0.1:{free_port()}"


@pytest.fixture
def silent() -> Iterator[str]:
    """A server that takes connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


class Answering(BaseHTTPRequestHandler):
    status = 404

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


def ended(uri: str) -> str:
    config = {"name": "tiny", "registry": {"tracking_uri": uri}}
    record, folder = runs.create("training", config, RunRequest(cause="person", actor="a"))
    ending.finish(folder, worked=True)
    return record.run_id


def test_runs_that_wait_for_a_server_that_is_down_hold_up_no_other(database: Path, down: str) -> None:
    waiting = [ended(down) for _ in range(5)]
    here = ended("")
    began = time.monotonic()
    done, problems = run_mirror.mirror_pending()
    assert time.monotonic() - began < SOON and done == [here]
    (problem,) = problems
    assert problem.startswith(f"run {waiting[0]} and 4 more: the registry at http://***@127.0.0.1:")
    assert "does not answer" in problem and "registry.tracking_uri" in problem and "secret" not in problem


def test_moves_and_metrics_of_a_server_that_is_down_end_at_once_and_others_are_seen(
    database: Path, submit: Submit, down: str, silent: str
) -> None:
    registry = ModelRegistry(MlflowRegistry(), "ada@lab")
    registry.register(submit(60.0))
    registry.promote("tiny", "1", None, override="the first")
    known = [
        KnownModel(f"m{number}", RegistryConfig(tracking_uri=uri), RetrainingConfig())
        for number, uri in enumerate((down, silent, down, silent))
    ]
    began = time.monotonic()
    assert b'linnet_champion_created_seconds{model="tiny",version="1"}' in exposition(known)
    ended(down)
    for version in ("1", "2", "3"):
        move = LedgerEntry(
            action="promote", model="tiny", version=version, actor="ada", at=now(), reason="x", previous="",
        )  # fmt: skip
        with pytest.raises(RegistryUnreachable):
            settle(move)
    assert time.monotonic() - began < SOON


def test_server_that_starts_while_a_step_waits_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reachable, "_BETWEEN_SECONDS", 0.05)
    port = free_port()
    servers: list[HTTPServer] = []

    def start() -> None:
        servers.append(HTTPServer(("127.0.0.1", port), Answering))
        servers[0].serve_forever()

    thread = threading.Timer(0.3, start)
    thread.start()
    require_reachable(f"http://127.0.0.1:{port}", patience=30.0)
    servers[0].shutdown()
    servers[0].server_close()
    thread.join()


@pytest.mark.parametrize(("status", "there"), [(200, True), (401, True), (404, True), (503, False)])
def test_any_answer_is_a_server_but_a_proxy_s_that_it_is_not_there(
    status: int, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Answering, "status", status)
    with HTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_address[1]}"
        if there:
            require_reachable(uri)
        else:
            with pytest.raises(RegistryUnreachable, match="HTTP 503"):
                require_reachable(uri)
        server.shutdown()


def test_a_step_of_a_run_is_patient_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    assert MlflowRegistry("http://mlflow")._patience == 0.0
    monkeypatch.setenv("LINNET_RUN_ID", "tiny-1")
    assert MlflowRegistry("http://mlflow")._patience == reachable.PATIENCE_SECONDS


def test_databases_are_no_servers() -> None:
    require_reachable("")
    require_reachable("sqlite:///nowhere.db")
