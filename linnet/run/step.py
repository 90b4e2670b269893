"""What happens around every pipeline step: content cache, timeout, progress, and the stage's record.

A component's body calls `run_step` with a function that does the work; the function, and with it
everything heavy that it imports, only runs when the cache has no verified result.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from linnet.cache import key as cache_key
from linnet.cache.blobs import clear
from linnet.cache.digest import MISSING, tree_digest, value_digest
from linnet.cache.key import Key, explain
from linnet.cache.store import Cache, StepResult, open_cache
from linnet.errors import RunError
from linnet.records import StageRecord
from linnet.run.live import measured, progress
from linnet.run.runs import DRY_RUN, KEYS, end_with_worker, run_dir
from linnet.run.stage import Stage, deadline, hold_gpus
from linnet.run.usage import sampled
from linnet.storage.files import translate_storage, write_text
from linnet.storage.paths import state_dir

__all__ = ["Artifact", "DryRunStop", "hold_gpus", "measured", "preparing", "progress", "run_step", "work_dir"]

Paths = Mapping[str, Path]
Work = Callable[[Paths], Mapping[str, Any] | None]
Finish = Callable[[Paths, Mapping[str, Any]], dict[str, Any]]


class DryRunStop(Exception):
    """In a dry run: the cache does not have this step's result; says what changed."""


class Artifact(Protocol):
    """The part of a KFP artifact that a step needs."""

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
    side_effects: bool = False,
    extra_inputs: Callable[[], Mapping[str, Any]] = dict,
    still_valid: Callable[[Mapping[str, Any]], bool] = lambda _: True,
    required: bool = True,
    finish: Finish = lambda _, values: dict(values),
) -> dict[str, Any]:
    """Runs one step of a pipeline and returns its scalar values.

    Args:
        task: the step's name, such as `train`.
        work: does the work; gets the folders to write (named as `outputs`), returns scalar values.
        code: the component's own file (`__file__`), part of the cache key.
        parameters: plain values, part of the cache key.
        inputs: artifacts or paths whose contents are part of the cache key; None: there is none this time.
        outputs: artifacts to produce, each a folder (or a file).
        cached: False for steps whose result depends on more than their inputs.
        side_effects: True for steps that change the world (register, release); never cached, and not done
            in a dry run.
        extra_inputs: gives what else the result depends on, such as the answers that are known now; part of
            the key, and asked again after the work: a result that may have seen another world is not kept.
        still_valid: asked, with the stored values, before a hit is used; False where an effect outside
            the outputs is gone.
        required: False if no other step takes its outputs: a dry run goes on after it.
        finish: is given the outputs' folders and the values, worked out or from the cache, and gives the
            values to return: for what is quickly decided from them by settings that are not in the key,
            so that another threshold does not do the work again.

    Raises:
        LinnetError: what the step says to a person; it also stands in the stage's record.
    """
    _fail_if_not_retryable(task)
    end_with_worker()
    stage = Stage(task)
    store = open_cache()
    targets = {name: Path(artifact.path) for name, artifact in outputs.items()}

    def key_now() -> Key:
        return _key(store, task, code, {**parameters, **extra_inputs()}, inputs)

    try:
        with deadline(task):
            key = key_now()
            stage.key = key.digest
            _note(key, parameters)
            may_hit = cached and not side_effects
            result = store.get(key, targets) if may_hit else None
            if result is not None and still_valid(result.values):
                stage.came_from_cache(result.seconds, result.cpu_seconds, result.gpu_seconds)
                print(f"{task}: from the cache, which saves {result.seconds:.0f} s", flush=True)
            else:
                again = "what it does besides its outputs has to be done again" if result else ""
                _announce(store, key, cached, side_effects, again)
                result = _work_and_store(store, key, key_now if may_hit else None, work, outputs, stage)
    except DryRunStop as plan:
        stage.end("skipped", values={"reason": str(plan)}, error=plan if required else None)
        if not required:
            return {}
        raise
    except BaseException as error:
        stage.end("failed", error=error)
        raise
    try:
        values = finish(targets, result.values)
    except BaseException as error:
        stage.end("failed", error=error)
        raise
    stage.end("succeeded", values=values)
    for name, artifact in outputs.items():
        artifact.metadata.update(result.metadata.get(name, {}), key=key.digest)
    return values


def _key(
    store: Cache,
    task: str,
    code: str,
    parameters: Mapping[str, Any],
    inputs: Mapping[str, Artifact | Path | None],
) -> Key:
    def contents(item: Artifact | Path | None) -> str:
        if item is None:
            return MISSING
        return tree_digest(item if isinstance(item, Path) else Path(item.path), store.memo)

    library, packages = cache_key.reached_by(Path(code), store.memo)
    return Key(
        task=task,
        code=cache_key.code_digest(Path(code)),
        library=library,
        packages=packages,
        environment=cache_key.environment_digest(),
        parameters={name: value_digest(value) for name, value in parameters.items()},
        inputs={name: contents(item) for name, item in inputs.items()},
    )


def _note(key: Key, parameters: Mapping[str, Any]) -> None:
    """Keeps the key with the run, so that `linnet cache explain` can tell it from another run's."""
    if (folder := run_dir()) is not None:
        told = {"key": asdict(key), "parameters": dict(parameters)}
        write_text(folder / KEYS / f"{key.task}.json", json.dumps(told, default=str))


def _announce(store: Cache, key: Key, cached: bool, side_effects: bool, again: str) -> None:
    """Says why the step works; in a dry run that is all that happens."""
    why = "always runs" if side_effects or not cached else again or explain(key, store.latest(key.task))
    print(f"{key.task}: {why}", flush=True)
    if DRY_RUN in os.environ and (cached or side_effects):
        raise DryRunStop(why)


def _work_and_store(
    store: Cache,
    key: Key,
    key_now: Callable[[], Key] | None,
    work: Work,
    outputs: Mapping[str, Artifact],
    stage: Stage,
) -> StepResult:
    """Works, and hands the outputs over; keeps them if `key_now` says that they still belong to the key."""
    staged, run = store.staging(), run_dir()
    targets = {name: Path(artifact.path) for name, artifact in outputs.items()}
    before = stage.spent()
    try:
        with sampled(stage.task):
            values = dict(work({name: staged / name for name in targets}) or {})
        spent = {name: seconds - before[name] for name, seconds in stage.spent().items()}
        metadata = {name: dict(artifact.metadata) for name, artifact in outputs.items()}
        result = StepResult(values=values, **spent, metadata=metadata, run=run.name if run else "")
        if key_now is not None and key_now() == key:
            store.deliver(store.put(key, staged, list(targets), result), targets)
            return result
        if key_now is not None:
            # Which of both the work saw, nobody knows.
            print(
                f"{key.task}: code, inputs or the world changed while it worked: not kept in the cache",
                flush=True,
            )
        store.publish(staged, targets, key.task)
        return result
    except BaseException as error:
        # What a failing step wrote (a validation report, say) is what its reader needs most.
        for name, target in targets.items():
            if (staged / name).exists():
                clear(target)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.move(staged / name, target)
        if (
            isinstance(error, OSError)
            and (told := translate_storage(error, error.filename or staged)) is not error
        ):
            raise told from error
        raise
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def work_dir(name: str, *parts: Any, code: str) -> Path:
    """A folder for unfinished work (checkpoints) that survives a kill: the same for the same parts and code.

    `code`: the component's own file, as for `run_step`; what it reaches counts. Whoever finishes the work
    removes it, or the next run would take it for its own.
    """
    reached = cache_key.reached_by(Path(code), open_cache().memo)
    return state_dir() / "work" / f"{name}-{value_digest([*parts, *reached])[:16]}"


@contextmanager
def preparing(task: str) -> Iterator[None]:
    """Around what a step finds out before `run_step`: an error there is the step's own, and is recorded."""
    _fail_if_not_retryable(task)
    try:
        yield
    except BaseException as error:
        Stage(task).end("failed", error=error)
        raise


def _fail_if_not_retryable(task: str) -> None:
    """The backend's retries are for machines that fail; a broken dataset stays broken."""
    folder = run_dir()
    before = folder / "stages" / f"{task}.json" if folder else None
    if before is None or not before.exists():
        return
    record = StageRecord.load(before)
    if record.state == "failed" and record.final:
        raise RunError(record.error)
