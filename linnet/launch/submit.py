"""Submits a compiled pipeline through the SDK's client."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linnet.config import Config
from linnet.errors import RunError
from linnet.launch.client import KEY_HEADER, Host, silence_sdk, translate_api_errors
from linnet.process import interruption
from linnet.records import RunRecord, RunRequest
from linnet.run import runs
from linnet.storage.paths import state_dir

STOP_SECONDS = 15.0
"""How long a run may take to end by itself after it was asked to."""


def was_terminated(run: Any) -> bool:
    """Whether a run of the API ended because somebody terminated it: its state alone says FAILED."""
    history = [step.state for step in run.state_history or []]
    return str(run.state) == "FAILED" and history[-2:-1] in (["CANCELED"], ["CANCELING"])


@dataclass(frozen=True)
class Submitted:
    """A run that was sent to a host."""

    host: Host
    client: Any
    run_id: str

    @property
    def folder(self) -> Path:
        """Its folder, if the host is this machine's engine."""
        return runs.runs_dir() / self.run_id

    def state(self) -> str:
        """Its state as the API says it; CANCELED if somebody terminated it."""
        with translate_api_errors(self.host.url):
            run = self.client.get_run(self.run_id)
        return "CANCELED" if was_terminated(run) else str(run.state)

    def terminate(self) -> None:
        """Asks the host to end it."""
        with translate_api_errors(self.host.url):
            self.client.terminate_run(self.run_id)


def submit(
    package: Path, request: RunRequest, host: Host, *, experiment: str, key: str = "", name: str = ""
) -> Submitted:
    """Sends a compiled pipeline to a host.

    Args:
        package: the KFP file; its parameters' defaults are the values they take.
        request: who asks, and why; travels as the parameter `request`.
        host: where it runs.
        experiment: the group of runs that it belongs to.
        key: the same key means the same run, however often it is sent. This machine's engine sees to
            it; on a cluster a run that has the key in its name is taken for the same.
        name: what people see; the experiment's name without it.

    Raises:
        RunError: the host refused it.
        KeyboardInterrupt: Ctrl-C, also while the host takes it: the run is then terminated.
    """
    title = name or experiment
    if key and host.engine is None:
        title = f"{title} [{key}]"
    client = host.client()
    with silence_sdk(), translate_api_errors(host.url):
        if host.engine is None and key and (known := _named(client, title)):
            return Submitted(host, client, known)
        if key:
            client._run_api.api_client.set_default_header(KEY_HEADER, key)
        with interruption.deferred_interrupts() as pressed:
            sent = client.create_run_from_pipeline_package(
                str(package),
                arguments={"request": request.model_dump(mode="json")},
                run_name=title,
                experiment_name=experiment,
            )
    submitted = Submitted(host, client, sent.run_id)
    if pressed.is_set():
        _terminate(submitted)
        raise KeyboardInterrupt
    return submitted


def _terminate(submitted: Submitted) -> None:
    """Ends a run whose submission was interrupted: nobody will follow it."""
    with contextlib.suppress(RunError):  # it has just ended
        submitted.terminate()
    if submitted.host.engine is None:
        return
    until = time.monotonic() + STOP_SECONDS
    while time.monotonic() < until:
        ended = RunRecord.load(submitted.folder / "run.json").state != "running"
        if ended and not runs.alive(submitted.folder):
            return
        time.sleep(0.05)


def _named(client: Any, title: str) -> str:
    """The id of a run with this name, or nothing."""
    import json

    predicate = {"operation": 1, "key": "display_name", "stringValue": title}
    found = client.list_runs(page_size=1, filter=json.dumps({"predicates": [predicate]})).runs
    return str(found[0].run_id) if found else ""


@dataclass(frozen=True)
class LocalRun:
    """A run in a worker of this process's own, without an engine: a plan (`--dry-run`)."""

    folder: Path
    process: subprocess.Popen[bytes]

    def interrupt(self) -> None:
        """Asks the run to end, which stops its step; ends what has not by then, or at a second Ctrl-C."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            self.process.wait(STOP_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def start(package: Path, pipeline: str, config: Config, request: RunRequest) -> LocalRun:
    """Starts a worker on a compiled pipeline, called `pipeline` and made for the config."""
    _, folder = runs.create(pipeline, config.values(), request)
    shutil.copyfile(package, folder / "pipeline.yaml")
    lock = runs.hold(folder)
    try:
        with (folder / "log.txt").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "linnet.runner.run_worker", str(folder), str(lock)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "LINNET_HOME": str(state_dir()), "LINNET_RUN_DIR": str(folder)},
                start_new_session=True,
                pass_fds=(lock,),
            )
    finally:
        os.close(lock)
    return LocalRun(folder, process)


def wait(submitted: Submitted, look_seconds: float = 2.0) -> str:
    """Waits until a run has ended, wherever it is; its last state."""
    while (state := submitted.state()) in ("PENDING", "RUNNING", "CANCELING", "PAUSED", "None"):
        time.sleep(look_seconds)
    return state
