"""Starts a run on this machine: the compiled KFP file, executed by kfp.local in a process of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from linnet import runs
from linnet.config import Config
from linnet.records import RunRequest
from linnet.state import state_dir

STOP_SECONDS = 15.0
"""How long a run may take to end by itself after it was asked to."""


@dataclass(frozen=True)
class LocalRun:
    """A run that was started here."""

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

    def clear(self) -> None:
        """After the worker's end: waits for its step, which ends with it, and ends it if it does not."""
        until = time.monotonic() + STOP_SECONDS
        with contextlib.suppress(ProcessLookupError):
            while time.monotonic() < until:
                os.killpg(self.process.pid, 0)
                time.sleep(0.05)
            os.killpg(self.process.pid, signal.SIGKILL)


def start(pipeline: str, config: Config, request: RunRequest) -> LocalRun:
    """Compiles the pipeline for the config and starts a worker on it."""
    from pipelines.compile import compile_pipeline

    _, folder = runs.create(pipeline, config.values(), request)
    compile_pipeline(pipeline, config, folder / "pipeline.yaml")
    lock = runs.hold(folder)
    try:
        with (folder / "log.txt").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "linnet.engine.worker", str(folder), str(lock)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=_environment(folder),
                start_new_session=True,
                pass_fds=(lock,),
            )
    finally:
        os.close(lock)
    return LocalRun(folder, process)


def _environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "LINNET_HOME": str(state_dir()),
        "LINNET_RUN_DIR": str(folder),
        "PYTHONUNBUFFERED": "1",
    }
