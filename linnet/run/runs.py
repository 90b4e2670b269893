"""The run store: a folder a run under `.linnet/runs/`, true at any moment, readable by a person.

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
import shutil
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

from linnet.config import CostConfig
from linnet.errors import RunError, StorageError
from linnet.records import RunRecord, RunRequest, StageRecord, now
from linnet.run.cost import of_run, priced
from linnet.storage.files import replacing
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
_LITTLE_BYTES = 1_000_000
"""With less free space than this, a full disk is the likely reason of a sudden end."""
FULL = (
    "the disk is full: free some space and run the same command again (`linnet cache gc` drops old results)"
)

NEGATIVE_VERDICTS = ("fail", "rollback", "inconclusive")
"""Verdicts of a gate or a canary that say no. A finding, such as drift, refuses nothing."""


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

    found = sorted((file.parent for file in runs_dir().glob("*/run.json")), key=second, reverse=True)
    ordered: list[Path] = []
    for _, same in groupby(found, key=second):  # names tell seconds, records tell microseconds
        several = list(same)
        ordered += sorted(several, key=begun, reverse=True) if len(several) > 1 else several
    return ordered


def readable(
    read: Callable[[Path], RunRecord] = load, among: Iterable[Path] | None = None
) -> Iterator[tuple[Path, RunRecord]]:
    """The runs (of the folders `among`; None: all, the newest first) that `read` can read.

    One that is damaged, or of a newer Linnet, is told once by each process, and hides none of the others.
    """
    for folder in folders() if among is None else among:
        try:
            record = read(folder)
        except StorageError as error:
            if (folder / "run.json").exists():  # else it is being deleted
                _tell(f"run {folder.name} is passed over: {error}")
            continue
        yield folder, record


@lru_cache(1000)
def _tell(problem: str) -> None:
    logger.warning(problem)


def stages(folder: Path) -> list[StageRecord]:
    """The stages of a run that have begun, in order."""
    records = [StageRecord.load(file) for file in (folder / "stages").glob("[!.]*.json")]
    return sorted(records, key=lambda stage: stage.started_at)


def artifact(folder: Path, task: str, output: str) -> Path | None:
    """The folder that a task of the run wrote as `output`, or None; also while the run is under way."""
    found = folder / task / output
    if found.exists():
        return found
    return next(folder.glob(f"artifacts/*/{task}/{output}"), None)  # short names are given at the end


def link_results(folder: Path) -> None:
    """Gives what the steps wrote short names: RUN/TASK is the task's outputs, .linnet/latest the run."""
    for outputs in (folder / "artifacts").glob("*/*"):
        _link(folder / outputs.name, outputs)
    if DRY_RUN not in os.environ:  # its folder will not stay
        _link(state_dir() / "latest", folder)


def _link(name: Path, target: Path) -> None:
    with replacing(name) as scratch:
        scratch.symlink_to(os.path.relpath(target, name.parent))


def close(
    name: str, request: dict[str, Any], worked: bool, prices: dict[str, Any] | None = None
) -> RunRecord:
    """What the exit handler does: closes the record of the run that this process belongs to."""
    folder = run_dir()
    if folder is None:
        raise RunError("neither LINNET_RUN_DIR nor LINNET_RUN_ID names the run to close")
    if not (folder / "run.json").exists():  # submitted straight to a cluster: it has no record yet
        RunRecord(
            run_id=folder.name,
            pipeline="training",
            config={"name": name, **({"cost": prices} if prices else {})},
            commit=str(request.get("commit") or commit()),
            request=RunRequest.model_validate(request or {"cause": "person", "actor": "cluster"}),
            state="running",
            started_at=min((stage.started_at for stage in stages(folder)), default=now()),
            versions=versions(),
        ).save(folder / "run.json")
    return finish(folder, worked)


def termination(folder: Path) -> str:
    """Why a run that is stopped is stopped: who terminated it, if anybody did."""
    with contextlib.suppress(OSError):
        return f"terminated by {(folder / TERMINATED).read_text('utf-8')}"
    return "interrupted"


def reopen(folder: Path) -> None:
    """Prepares an ended run for another life: what succeeded stays, and what did not may be tried again."""
    record = RunRecord.load(folder / "run.json")
    for name in (MIRRORED, CLOSING, TERMINATED):
        (folder / name).unlink(missing_ok=True)
    for stage in stages(folder):
        if stage.state != "succeeded":
            (folder / "stages" / f"{stage.task}.json").unlink()
    record.model_copy(
        update={"state": "running", "error": "", "ended_at": None, "stages": (), "cost": None}
    ).save(folder / "run.json")


def finish(folder: Path, worked: bool, interrupted: bool = False, error: str = "") -> RunRecord:
    """Closes a run: its state follows from its stages, or from a person's Ctrl-C.

    `error` says why a run did not work that has no stage to say it.
    """
    why = error
    done = [
        stage if stage.state != "running" else _mark_interrupted(folder, stage) for stage in stages(folder)
    ]
    failed = [stage for stage in done if stage.state == "failed"]
    refused = [stage for stage in done if stage.values.get("verdict") in NEGATIVE_VERDICTS]
    if interrupted:
        state, error = "interrupted", why or termination(folder)
    elif failed or not worked:
        state, error = (
            "failed",
            failed[0].error if failed else why or _crash_reason(folder),
        )
        if error == "interrupted":
            state = "interrupted"
    elif refused:
        state, error = "rejected", str(refused[0].values.get("reason", ""))
    else:
        state, error = "succeeded", ""
    record = RunRecord.load(folder / "run.json")
    prices = CostConfig.parse(record.config.get("cost", {}))
    done = [priced(stage, prices) for stage in done]
    ended = {"state": state, "error": error, "ended_at": now()}
    record = record.model_copy(update={**ended, "stages": tuple(done), "cost": of_run(done, prices)})
    link_results(folder)
    record.save(folder / "run.json")
    return record


def _mark_interrupted(folder: Path, stage: StageRecord) -> StageRecord:
    """A stage whose process ended without a word, as failed."""
    ended = stage.model_copy(update={"state": "failed", "error": _crash_reason(folder), "exit_code": 1})
    ended.save(folder / "stages" / f"{stage.task}.json")
    return ended


def _crash_reason(folder: Path) -> str:
    """Why a process may have ended without a word."""
    if disk_full(folder):
        return FULL
    return "a step ended before it could say why: see log.txt"


def disk_full(folder: Path) -> bool:
    """Whether the disk below `folder` is as good as full."""
    return shutil.disk_usage(folder).free < _LITTLE_BYTES


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
    return [lock.parent for lock in sorted(runs_dir().glob("*/lock")) if alive(lock.parent)]


def alive(folder: Path) -> bool:
    """Whether a run has its process."""
    try:
        descriptor = os.open(folder / "lock", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
