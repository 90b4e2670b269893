"""Starts a run on this machine: the compiled KFP file, executed by kfp.local in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
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
        """Asks every process of the run to end, and ends those that do not."""
        for number, patience in ((signal.SIGINT, STOP_SECONDS), (signal.SIGKILL, STOP_SECONDS)):
            try:
                os.killpg(self.process.pid, number)
                self.process.wait(patience)
            except ProcessLookupError:
                return
            except subprocess.TimeoutExpired:
                continue
            return


def start(pipeline: str, config: Config, request: RunRequest) -> LocalRun:
    """Compiles the pipeline for the config and starts a worker on it."""
    from pipelines.compile import compile_pipeline

    _, folder = runs.create(pipeline, config.values(), request)
    compile_pipeline(pipeline, config, folder / "pipeline.yaml")
    lock = runs.hold(folder)
    try:
        with (folder / "log.txt").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "linnet.engine.worker", str(folder)],
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
