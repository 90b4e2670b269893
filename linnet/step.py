"""What happens around every pipeline step: content cache, timeout, progress, and the stage's record.

A component's body calls `run_step` with a function that does the work; the function, and with it
everything heavy that it imports, only runs when the cache has no verified result.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal, Protocol

from linnet import cache
from linnet.errors import LinnetError, RunError
from linnet.files import translate_storage, write_text
from linnet.records import StageRecord, now
from linnet.runs import DRY_RUN, end_with_worker, run_dir
from linnet.state import state_dir

Paths = Mapping[str, Path]
Work = Callable[[Paths], Mapping[str, Any] | None]


class WouldRun(Exception):
    """In a dry run: the cache does not have this step's result; says what changed."""


class Artifact(Protocol):
    """The part of a KFP artefact that a step needs."""

    path: str
    metadata: dict[str, Any]


def run_step(
    task: str,
    work: Work,
    *,
    code: str,
    parameters: Mapping[str, Any],
    inputs: Mapping[str, Artifact | Path | None],
    outputs: Mapping[str, Artifact],
    cached: bool = True,
    acts: bool = False,
    still_valid: Callable[[], bool] = lambda: True,
    needed: bool = True,
) -> dict[str, Any]:
    """Runs one step of a pipeline and returns its scalar values.

    Args:
        task: the step's name, such as `train`.
        work: does the work; gets the folders to write (named as `outputs`), returns scalar values.
        code: the component's own file (`__file__`), part of the cache key.
        parameters: plain values, part of the cache key.
        inputs: artefacts or paths whose contents are part of the cache key; None: there is none this time.
        outputs: artefacts to produce, each a folder (or a file).
        cached: False for steps whose result depends on more than their inputs.
        acts: True for steps that change the world (register, release); never cached, never in a dry run.
        still_valid: asked before a hit is used; False where an effect outside the outputs is gone.
        needed: False if no other step takes its outputs: a dry run goes on after it.

    Raises:
        LinnetError: what the step says to a person; it also stands in the stage's record.
    """
    _refuse_futile_retry(task)
    end_with_worker()
    stage = _Stage(task)
    store = cache.Cache(state_dir() / "cache")
    targets = {name: Path(artifact.path) for name, artifact in outputs.items()}
    try:
        with _deadline(task):
            key = _key(task, code, parameters, inputs)
            stage.key = key.digest
            hit = store.get(key, targets) if cached and not acts and still_valid() else None
            if hit is not None:
                stage.cached, stage.saved_seconds = True, hit.seconds
                values = hit.values
            else:
                _announce(store, key, cached, acts)
                values = _work_and_store(store, key, work, targets)
    except WouldRun as plan:
        stage.end("skipped", values={"reason": str(plan)}, error=plan if needed else None)
        if not needed:
            return {}
        raise
    except BaseException as error:
        stage.end("failed", error=error)
        raise
    stage.end("succeeded", values=values)
    for artifact in outputs.values():
        artifact.metadata["key"] = key.digest
    return values


def _key(
    task: str, code: str, parameters: Mapping[str, Any], inputs: Mapping[str, Artifact | Path | None]
) -> cache.Key:
    return cache.Key(
        task=task,
        code=cache.tree_digest(Path(code)),
        library=cache.library_digest(),
        environment=cache.environment_digest(),
        parameters={name: cache.value_digest(value) for name, value in parameters.items()},
        inputs={name: _content_digest(item) for name, item in inputs.items()},
    )


def _announce(store: cache.Cache, key: cache.Key, cached: bool, acts: bool) -> None:
    """Says why the step works; in a dry run that is all that happens."""
    why = "always runs" if acts or not cached else cache.explain(key, store.latest(key.task))
    print(f"{key.task}: {why}", flush=True)
    if DRY_RUN in os.environ and (cached or acts):
        raise WouldRun(why)


def _work_and_store(store: cache.Cache, key: cache.Key, work: Work, targets: Paths) -> dict[str, Any]:
    staged = store.staging()
    started = time.monotonic()
    try:
        values = dict(work({name: staged / name for name in targets}) or {})
        entry = store.put(key, staged, list(targets), values, time.monotonic() - started)
        for name, target in targets.items():
            cache.place(entry / name, target)
        return values
    except BaseException as error:
        # What a failing step wrote (a validation report, say) is what its reader needs most.
        for name, target in targets.items():
            if (staged / name).exists():
                cache.place(staged / name, target)
        if isinstance(error, OSError) and (told := translate_storage(error)) is not error:
            raise told from error
        raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def work_dir(name: str, *parts: Any) -> Path:
    """A folder for unfinished work (checkpoints) that survives a kill: the same for the same parts and code.

    Whoever finishes the work removes it, or the next run would take it for its own.
    """
    return state_dir() / "work" / f"{name}-{cache.value_digest([*parts, cache.library_digest()])[:16]}"


@contextmanager
def preparing(task: str) -> Iterator[None]:
    """Around what a step finds out before `run_step`: an error there is the step's own, and is recorded."""
    _refuse_futile_retry(task)
    try:
        yield
    except BaseException as error:
        _Stage(task).end("failed", error=error)
        raise


def _refuse_futile_retry(task: str) -> None:
    """The backend's retries are for machines that fail; a broken dataset stays broken."""
    folder = run_dir()
    before = folder / "stages" / f"{task}.json" if folder else None
    if before is None or not before.exists():
        return
    record = StageRecord.load(before)
    if record.state == "failed" and record.final:
        raise RunError(record.error)


def progress(what: str, done: int, total: int) -> None:
    """Tells whoever follows the run how far a step is; at most ten times a second."""
    folder = run_dir()
    moment = time.monotonic()
    if folder is None or (done < total and moment - _last_progress.get(what, 0.0) < 0.1):
        return
    _last_progress[what] = moment
    write_text(folder / "progress.json", json.dumps({"what": what, "done": done, "total": total}))


_last_progress: dict[str, float] = {}


class _Stage:
    """Keeps the stage's record in the run's folder, so that it is true at any moment."""

    def __init__(self, task: str) -> None:
        self.task, self.key, self.cached, self.saved_seconds = task, "", False, 0.0
        age = _process_age()
        self.started: datetime = now() - timedelta(seconds=age)
        self.clock = time.monotonic() - age
        if (folder := run_dir()) is not None:
            (folder / "progress.json").unlink(missing_ok=True)  # it told of the step before
        self._save(StageRecord(task=task, state="running", started_at=self.started))

    def end(
        self,
        state: Literal["succeeded", "failed", "skipped"],
        values: Mapping[str, Any] | None = None,
        error: BaseException | None = None,
    ) -> None:
        own, children = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        self._save(
            StageRecord(
                task=self.task,
                state=state,
                started_at=self.started,
                seconds=time.monotonic() - self.clock,
                cpu_seconds=own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
                peak_memory_mb=max(own.ru_maxrss, children.ru_maxrss) / 1024,
                cached=self.cached,
                saved_seconds=self.saved_seconds,
                key=self.key,
                values=dict(values or {}),
                error=_message(error),
                final=isinstance(error, LinnetError) and not error.transient,
                exit_code=error.exit_code if isinstance(error, LinnetError) else int(error is not None),
            )
        )

    def _save(self, record: StageRecord) -> None:
        folder = run_dir()
        if folder is not None:
            record.save(folder / "stages" / f"{self.task}.json")


def _process_age() -> float:
    """Seconds since this process began, if it is a step's own: starting it and importing are its cost."""
    if os.environ.get("_KFP_RUNTIME") != "true":
        return 0.0
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def _message(error: BaseException | None) -> str:
    if error is None:
        return ""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, LinnetError):
        return str(error)
    return f"{type(error).__name__}: {error}"


class _deadline:  # noqa: N801  a context manager that reads as a word
    """Ends the step's process after LINNET_TIMEOUT seconds: the task's timeout, on every backend."""

    def __init__(self, task: str) -> None:
        self.task = task
        self.seconds = float(os.environ.get("LINNET_TIMEOUT", "0"))
        self.timer = threading.Timer(self.seconds, self._expire)
        self.timer.daemon = True

    def __enter__(self) -> None:
        if self.seconds > 0:
            self.timer.start()

    def __exit__(self, *_: object) -> None:
        self.timer.cancel()

    def _expire(self) -> None:
        # A native loop does not listen to exceptions, so the process goes, not only the call.
        stage = _Stage(self.task)
        stage.end("failed", error=RunError(f"{self.task} took longer than its {self.seconds:g} seconds"))
        os._exit(124)


def _content_digest(item: Artifact | Path | None) -> str:
    if item is None:
        return cache.MISSING
    return cache.tree_digest(item if isinstance(item, Path) else Path(item.path))
