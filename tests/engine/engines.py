"""A real engine in a process of its own, and the SDK's unmodified client for it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.shallow import shallow

ROOT = Path(__file__).parents[2]


@dataclass
class RunningEngine:
    """An engine with a state folder of its own."""

    state: Path
    settings: dict[str, Any] = field(default_factory=dict)
    token: str = ""
    process: subprocess.Popen[bytes] | None = None

    @property
    def environment(self) -> dict[str, str]:
        found = {**os.environ, "LINNET_HOME": str(self.state), "LINNET_ENGINE_TOKEN": self.token}
        return {**found, "PYTHONPATH": str(ROOT)}

    def start(self) -> RunningEngine:
        file = self.state / "engine" / "engine.json"
        file.unlink(missing_ok=True)
        settings = json.dumps(
            {"port": 0, "allow_uploads": True, "parallel_tasks": 2, "mirror_runs": False, **self.settings}
        )
        command = [sys.executable, "-m", "linnet.engine", "--config-json", settings]
        self.state.mkdir(parents=True, exist_ok=True)
        with (self.state / "engine.out").open("ab") as output:
            self.process = subprocess.Popen(
                command, stdout=output, stderr=output, env=self.environment, start_new_session=True
            )
        until = time.monotonic() + 120
        while not file.exists():
            assert self.process.poll() is None and time.monotonic() < until, self.said()
            time.sleep(0.02)
        return self

    def said(self) -> str:
        return (self.state / "engine.out").read_text()

    @property
    def url(self) -> str:
        return str(json.loads((self.state / "engine" / "engine.json").read_text())["url"])

    def client(self) -> Any:
        return client_of(self.url, self.token)

    def folder(self, run_id: str) -> Path:
        return self.state / "runs" / run_id

    def worker(self, run_id: str) -> int:
        return int(json.loads((self.folder(run_id) / "worker.json").read_text())["pid"])

    def kill(self) -> None:
        """kill -9 of the server."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(120)


def client_of(url: str, token: str = "") -> Any:
    """The SDK's client, without what it prints."""
    import kfp

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kfp.Client(host=url, existing_token=token or None)


@contextlib.contextmanager
def quiet() -> Any:
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def run_of(client: Any, pipeline: Any, arguments: dict[str, Any] | None = None, **options: Any) -> str:
    """Submits a pipeline as a person does; the run's id."""
    with quiet():
        submit = client.create_run_from_pipeline_func
        return str(shallow(submit, pipeline, arguments=arguments or {}, **options).run_id)


def wait_for(client: Any, run_id: str, timeout: int = 120) -> Any:
    """The run when it has ended. (The SDK's own looks every five seconds, and shows it.)"""
    until = time.monotonic() + timeout
    while True:
        run = client.get_run(run_id)
        if run.state in ("SUCCEEDED", "FAILED"):
            return run
        assert time.monotonic() < until, run
        time.sleep(0.05)
