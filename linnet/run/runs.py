"""The run store: one folder per run under `.linnet/runs/`, true at any moment, readable by a person.

run.json (RunRecord), stages/TASK.json (StageRecord), progress.json, pipeline.yaml, log.txt,
artifacts/ (what the steps wrote) and a link to each task's outputs.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import platform
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from importlib import metadata
from itertools import groupby
from pathlib import Path
from typing import Any

from linnet.errors import RunError, StorageError
from linnet.records import RunRecord, RunRequest, StageRecord, now
from linnet.storage.files import files_in_each, is_there, listed
from linnet.storage.paths import state_dir

logger = logging.getLogger(__name__)

DRY_RUN = "LINNET_DRY_RUN"
"""Set while a run is only planned: a step that would work says so instead."""

KEYS = "keys"
"""Folder of a run: the cache key of each step, part by part, with its parameters: keys/TASK.json."""

CLOSING = "closing"
"""File in a run's folder, once the run is stopped and only its exit tasks may run."""

TERMINATED = "terminated"
"""File in a run's folder, once somebody terminated it: who."""

MIRRORED = "mirrored"
"""File in a run's folder, once MLflow has the run's record as it is."""

_VERSIONED = (
    "linnet",
    "kfp",
    "torch",
    "numpy",
    "onnx",
    "onnxruntime",
    "feast",
    "great-expectations",
    "mlflow",
)


def runs_dir() -> Path:
    """The folder of all runs."""
    return state_dir() / "runs"


def run_dir() -> Path | None:
    """The folder of the run that this process belongs to, which the runner or the cluster named."""
    if named := os.environ.get("LINNET_RUN_DIR"):
        return Path(named)
    if run_id := os.environ.get("LINNET_RUN_ID"):
        return runs_dir() / run_id
    return None


def create(pipeline: str, config: dict[str, Any], request: RunRequest) -> tuple[RunRecord, Path]:
    """Opens a new run and returns its record and folder."""
    started = now()
    while True:
        run_id = f"{config['name']}-{started:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        with contextlib.suppress(FileExistsError):
            (runs_dir() / run_id).mkdir(parents=True)
            break
    record = RunRecord(
        run_id=run_id,
        pipeline=pipeline,
        config=config,
        commit=request.commit or commit(),
        request=request,
        state="running",
        started_at=started,
        versions=versions(),
    )
    folder = runs_dir() / run_id
    record.save(folder / "run.json")
    return record, folder


def recorded(folder: Path) -> RunRecord:
    """The run as its record stands: while it is under way, without stages."""
    return RunRecord.load(folder / "run.json")


def load(folder: Path) -> RunRecord:
    """The run as it stands, stages included; a run whose process is gone is `interrupted`."""
    record = recorded(folder)
    record = record.model_copy(update={"stages": tuple(stages(folder))})
    if record.state == "running" and not alive(folder):
        return record.model_copy(update={"state": "interrupted", "error": "the run's process is gone"})
    return record


def find(run_id: str = "") -> Path:
    """The folder of a run by its id or a unique beginning of it; the newest run for an empty id.

    Raises:
        RunError: no such run, or several.
    """
    matches = [folder for folder in folders() if folder.name.startswith(run_id)]
    if not matches:
        raise RunError(
            f"there is no run {run_id!r} here: `linnet runs list` shows them"
            if run_id
            else "nothing ran here yet: `linnet run configs/fashion.toml` starts a run"
        )
    exact = [folder for folder in matches if folder.name == run_id]
    if run_id and not exact and len(matches) > 1:
        raise RunError(f"{run_id!r} may be any of {', '.join(folder.name for folder in matches[:5])}")
    return (exact or matches)[0]


def folders() -> list[Path]:
    """All runs, the newest first."""

    def second(folder: Path) -> list[str]:
        return folder.name.rsplit("-", 3)[1:3]

    def begun(folder: Path) -> float:
        with contextlib.suppress(StorageError):  # it is being deleted
            return RunRecord.load(folder / "run.json").started_at.timestamp()
        return 0.0

    found = sorted((file.parent for file in files_in_each(runs_dir(), "run.json")), key=second, reverse=True)
    ordered: list[Path] = []
    for _, same in groupby(found, key=second):  # names tell seconds, records tell microseconds
        several = list(same)
        ordered += sorted(several, key=begun, reverse=True) if len(several) > 1 else several
    return ordered


def readable(
    read: Callable[[Path], RunRecord] = load,
    among: Iterable[Path] | None = None,
    told: Callable[[str], None] | None = None,
) -> Iterator[tuple[Path, RunRecord]]:
    """The runs (of the folders `among`; None: all, the newest first) that `read` can read.

    One that is damaged, or of a newer Linnet, is told once by each process, and each time to `told`; it hides
    none of the others.
    """
    for folder in folders() if among is None else among:
        try:
            record = read(folder)
        except StorageError as error:
            if is_there(folder / "run.json"):  # else it is being deleted
                _tell(f"run {folder.name} is passed over: {error}")
                if told is not None:
                    told(f"run {folder.name}: {error}")
            continue
        yield folder, record


@lru_cache(1000)
def _tell(problem: str) -> None:
    logger.warning(problem)


def stages(folder: Path) -> list[StageRecord]:
    """The stages of a run that have begun, in order."""
    records = [StageRecord.load(file) for file in stage_files(folder)]
    return sorted(records, key=lambda stage: stage.started_at)


def stage_files(folder: Path) -> list[Path]:
    """The record of each stage of a run that has begun, named by its task."""
    return listed(folder / "stages", "[!.]*.json")


def artifact(folder: Path, task: str, output: str) -> Path | None:
    """The folder that a task of the run wrote as `output`, or None; also while the run is under way.

    One that may not be looked at is given, too: whoever reads it is told.

    Raises:
        StorageError: the run's folder of artifacts cannot be listed.
    """
    found = folder / task / output
    if is_there(found):
        return found
    places = (place / task / output for place in listed(folder / "artifacts"))
    return next(filter(is_there, places), None)  # short names are given at the end


def commit() -> str:
    """The commit of the working tree, with `+changes` where it was edited; empty outside git."""
    if named := os.environ.get("LINNET_COMMIT"):
        return named
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
        dirty = subprocess.run(["git", "status", "--porcelain"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return head.stdout.strip() + ("+changes" if dirty.stdout.strip() else "")


def commit_of(folder: Path | None) -> str:
    """The commit that a run was asked for, whatever was committed since; without one the working tree's."""
    with contextlib.suppress(StorageError):  # on a cluster a run may have no record yet
        if folder is not None and (named := RunRecord.load(folder / "run.json").commit):
            return named
    return commit()


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that results depend on, where they are installed."""
    found = {"python": platform.python_version()}
    for name in _VERSIONED:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def hold(folder: Path) -> int:
    """Takes the run's lock and returns its descriptor: whoever has it open keeps the run alive.

    A lock and not a process id, because ids are used again and a kill leaves a stale file behind.
    """
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def end_with_worker(grace: float = 10.0) -> None:
    """Lets this process end when the worker that runs it is killed: its work would change the world unseen.

    It is interrupted, and after `grace` seconds ended. Without a worker on this machine (on a cluster,
    in a test) nothing happens.
    """
    folder = run_dir()
    if folder is None or os.environ.get("_KFP_RUNTIME") != "true":
        return
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR)
    except OSError:
        return

    def watch() -> None:
        fcntl.flock(descriptor, fcntl.LOCK_SH)  # waits as long as the worker lives
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(grace)
        os._exit(130)

    threading.Thread(target=watch, daemon=True, name="end-with-worker").start()


def alive_folders() -> list[Path]:
    """The runs that have their process, however many there are: no record is read for it."""
    return [lock.parent for lock in files_in_each(runs_dir(), "lock") if _held(lock.parent)]


def alive(folder: Path) -> bool:
    """Whether a run has its process, or nobody may know: then nothing is done as if it were gone."""
    return _held(folder) is not False


def _held(folder: Path) -> bool | None:
    """Whether a process holds the run; None: its lock cannot be read. To write it is the right of few."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
