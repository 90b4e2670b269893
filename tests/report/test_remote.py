"""A run on another host, followed to its end: the exit status is that of a run on this machine."""

# No `from __future__ import annotations`: kfp reads the annotations themselves.

import http.server
import io
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kfp import dsl
from rich.console import Console

from linnet.commands.training import follow_to_end
from linnet.errors import RunError
from linnet.launch.client import Host
from linnet.launch.submit import Submitted
from linnet.report import remote
from tests.engine.engines import RunningEngine, run_of

pytestmark = [pytest.mark.timeout(300), pytest.mark.slow]


@dsl.component(base_image="python:3.11")
def evaluate(verdict: str, report: dsl.Output[dsl.Artifact]) -> str:
    import json
    import os

    gate = {"name": "accuracy", "value": 0.5, "comparator": ">=", "threshold": 0.9}
    gate |= {"passed": verdict == "pass", "evidence": "0.5 < 0.9"}
    os.makedirs(report.path)
    with open(os.path.join(report.path, "gates.json"), "w") as file:
        json.dump({"stage": "evaluation", "verdict": verdict, "gates": [gate]}, file)
    return verdict


@dsl.component(base_image="python:3.11")
def release() -> None:
    pass


@dsl.pipeline(name="gated")
def gated(verdict: str) -> None:
    with dsl.If(evaluate(verdict=verdict).outputs["Output"] == "pass"):
        release()


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningEngine]:
    running = RunningEngine(tmp_path_factory.mktemp("state")).start()
    yield running
    running.stop()


@pytest.mark.parametrize(
    ("verdict", "status", "says"), [("pass", 0, "succeeded"), ("fail", 3, "rejected: 0.5 < 0.9")]
)
def test_remote_run_that_a_gate_rejects_ends_with_3_and_its_reason(
    engine: RunningEngine, verdict: str, status: int, says: str
) -> None:
    client = engine.client()
    run = run_of(client, gated, {"verdict": verdict})
    shown = io.StringIO()
    assert follow_to_end(Submitted(Host(engine.url), client, run), Console(file=shown)) == status
    assert says in shown.getvalue()


@pytest.mark.parametrize(
    ("states", "state", "error"),
    [
        ({"evaluate": "SUCCEEDED", "release": "SUCCEEDED"}, "succeeded", ""),
        ({"evaluate": "SUCCEEDED", "release": "SKIPPED"}, "rejected", "a gate said no"),
        ({"evaluate": "SUCCEEDED"}, "rejected", "a gate said no"),
        ({"measure": "SUCCEEDED"}, "succeeded", ""),
    ],
)
def test_host_without_the_files_tells_a_rejection_by_the_tasks_that_did_not_run(
    tmp_path: Path, states: dict[str, str], state: str, error: str
) -> None:
    tasks = [SimpleNamespace(display_name=name, state=told) for name, told in states.items()]
    run: Any = SimpleNamespace(
        run_details=SimpleNamespace(task_details=tasks), state="SUCCEEDED", display_name="d", error=None,
        runtime_config=None, created_at=None, finished_at=None, state_history=None,
    )  # fmt: skip
    record = remote._record(run, "id", tmp_path)
    assert record.state == state and record.error.startswith(error)


def test_run_that_failed_before_its_release_was_refused_by_no_gate(tmp_path: Path) -> None:
    tasks = [SimpleNamespace(display_name="evaluate", state="SUCCEEDED")]
    run: Any = SimpleNamespace(
        run_details=SimpleNamespace(task_details=tasks), state="FAILED", display_name="d",
        error=SimpleNamespace(message="package: ended by SIGKILL"),
        runtime_config=None, created_at=None, finished_at=None, state_history=None,
    )  # fmt: skip
    record = remote._record(run, "id", tmp_path)
    assert (record.state, record.error) == ("failed", "package: ended by SIGKILL")


@pytest.mark.parametrize("refused", ["artifacts", "rollout.json"])
def test_evidence_that_the_host_refuses_is_an_error_and_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str
) -> None:
    """A canary that had said no passed for a success where its record could not be fetched just then."""

    class Api(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            self.send_response(503 if self.path.endswith(refused) else 200)
            self.end_headers()
            self.wfile.write(b'{"artifacts": [{"task_id": "release", "output": "rollout"}]}')

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Api)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    monkeypatch.setattr(remote, "_run", lambda *_: SimpleNamespace())
    try:
        with pytest.raises(RunError, match=r"does not give the artifacts of one: .*503"):
            remote.fetch_evidence(Host(f"http://127.0.0.1:{server.server_port}"), "one", tmp_path)
    finally:
        server.shutdown()
        server.server_close()
