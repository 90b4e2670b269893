"""One run in one process: `python -m linnet.runner.run_worker RUN_FOLDER` executes its pipeline.yaml."""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from linnet.config import ContainerSetting
from linnet.errors import LinnetError
from linnet.process import tree
from linnet.records import RunRecord
from linnet.run import ending
from linnet.run.runs import DRY_RUN
from linnet.runner.containers import sweep
from linnet.runner.dag import first_error
from linnet.runner.driver import Driver
from linnet.runner.placeholders import Job, Names
from linnet.runner.spec import Spec
from linnet.runner.task_runner import TaskRunner, recorded_outputs
from linnet.storage.paths import state_dir

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)
"""Either stops a run: its programs end, and its exit tasks run."""


def execute(
    folder: Path,
    width: int = 1,
    close: tuple[int, ...] = (),
    closing: str = "",
    containers: ContainerSetting = "auto",
) -> None:
    """Runs the pipeline of a run folder to its end, and closes the run's record.

    Tasks that an earlier life of the run finished are not run again. SIGINT or SIGTERM stops the
    programs that are under way, and exit tasks run; the record then says `interrupted`.

    Args:
        folder: the run's folder with pipeline.yaml, parameters.json and run.json.
        width: how many programs may run at once.
        close: descriptors that programs must not inherit (the run's lock).
        closing: why the run is over although its worker did not end it: only its exit tasks are run.
        containers: what runs container components.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    tree.adopt_orphans()
    interrupted, error = False, "its worker was made to exit before its tasks had ended"
    try:
        error = _drive(folder, width, list(close), closing, containers)
    except KeyboardInterrupt:
        interrupted = True
        raise
    except LinnetError as problem:
        error = str(problem)
        print(f"error: {problem}", flush=True)
    except Exception as problem:  # noqa: BLE001  a run ends with a reason, whatever it is
        traceback.print_exc()
        error = f"{type(problem).__name__}: {problem}"
    finally:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        for left in tree.descendants(os.getpid()):  # as a pod's end would end them
            tree.kill_tree(left)
        sweep(folder)
        # The exit handler closes the record; a worker that has none does so here. Of a run that was stopped
        # only the worker knows that it was.
        if closing or interrupted:
            ending.finish(folder, worked=False, interrupted=True, error=closing)
        elif RunRecord.load(folder / "run.json").state == "running":
            ending.finish(folder, worked=not error, error=error)


def _drive(folder: Path, width: int, close: list[int], closing: str, containers: ContainerSetting) -> str:
    """Runs the tasks; what went wrong, or nothing."""
    file = folder / "pipeline.json"  # the same, quicker to read
    spec = Spec.from_text((file if file.exists() else folder / "pipeline.yaml").read_bytes())
    job = Job.of(folder, RunRecord.load(folder / "run.json").started_at)
    names = Names(job, str(folder / "artifacts"))
    programs = TaskRunner(folder, spec, names, _environment(folder), close, bool(closing), containers)
    for number in STOP_SIGNALS:
        signal.signal(number, lambda *_: programs.interrupt())
    driver = Driver(spec, _parameters(folder), programs, names, width, closing)
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # the fork server kept them waiting
        worked = driver.run()
        (folder / "outputs.json").write_text(json.dumps(_outputs(driver)), "utf-8")
    except BaseException:
        for number in STOP_SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        programs.cancel()
        for node in driver.nodes():
            if node.state in ("PENDING", "RUNNING"):
                node.state, node.error = "CANCELED", ending.termination(folder)
                programs.changed(node)
        raise
    stopped = driver.root.failed or driver.root.canceled
    failed = [f"{node.label}: {first_error(node)}" for node in stopped]
    return failed[0] if not worked else ""


def _outputs(driver: Driver) -> dict[str, Any]:
    """The pipeline's outputs, artifacts by their place."""
    parameters, artifacts = recorded_outputs(driver.outputs())
    return {**parameters, **{a.output: a.uri for a in artifacts}}


def _parameters(folder: Path) -> dict[str, Any]:
    file = folder / "parameters.json"
    parameters: dict[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    return parameters


def _environment(folder: Path) -> dict[str, str]:
    dry = {DRY_RUN: os.environ[DRY_RUN]} if DRY_RUN in os.environ else {}
    return {"LINNET_HOME": str(state_dir()), "LINNET_RUN_DIR": str(folder), **dry}


if __name__ == "__main__":
    try:
        execute(Path(sys.argv[1]), close=tuple(int(word) for word in sys.argv[2:]))
    except KeyboardInterrupt:
        sys.exit(130)
