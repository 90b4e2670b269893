"""One run in one process: `python -m linnet.engine.worker RUN_FOLDER` executes its pipeline.yaml."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
import warnings
from pathlib import Path
from types import FrameType

from linnet import runs
from linnet.records import RunRecord

STOP_SECONDS = 10.0
"""How long the step that is under way may take to stop: a release gives traffic back first."""


def execute(folder: Path) -> None:
    """Runs the compiled pipeline of a run folder with kfp.local, and closes the run's record.

    SIGINT or SIGTERM stops the step that is under way; the record then says `interrupted`.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    interrupted = False
    try:
        _run_pipeline(folder)
    except KeyboardInterrupt:
        interrupted = True
        raise
    finally:
        # The exit handler closes the record; a worker that ends before it does so here.
        if RunRecord.load(folder / "run.json").state == "running":
            runs.finish(folder, worked=False, interrupted=interrupted)


def _run_pipeline(folder: Path) -> None:
    from kfp import components, local

    # GPU and memory settings are for the cluster: here the step takes what the machine has.
    warnings.filterwarnings("ignore", message=".*have no effect in the current local runner.*")
    local.init(
        runner=local.SubprocessRunner(use_venv=False),
        pipeline_root=str(folder / "artifacts"),
        raise_on_error=False,
    )
    # A cluster waits a minute for a machine to come back; here a person waits, for the same machine.
    pipeline = re.sub(r"backoffDuration: \d+s", "backoffDuration: 1s", (folder / "pipeline.yaml").read_text())
    components.load_component_from_text(pipeline)()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """Stops the step, and then the run: while the handler waits, the step still has somebody to tell."""
    _stop_step()
    raise KeyboardInterrupt


def _stop_step() -> None:
    """Interrupts the processes of this run once, and waits until they ended."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGINT)
    until = time.monotonic() + STOP_SECONDS
    while time.monotonic() < until:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.02)
        except ChildProcessError:
            return


if __name__ == "__main__":
    try:
        execute(Path(sys.argv[1]))
    except KeyboardInterrupt:
        sys.exit(130)
