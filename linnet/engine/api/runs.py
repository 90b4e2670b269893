"""RunService, and what a run's folder holds: logs and artifacts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, StreamingResponse

from linnet.engine.api.body import Body
from linnet.engine.api.request import KEY_HEADER, Engine, engine_of, page
from linnet.engine.api_errors import ApiError
from linnet.engine.security import caller_of
from linnet.engine.serializers import run_view, tasks_of
from linnet.engine.store import Resource
from linnet.engine.supervisor import ACTIVE, folder_of
from linnet.records import TaskRecord
from linnet.records.task import task_file
from linnet.registry.champion import current_actor
from linnet.run import runs
from linnet.runner.task_log import log_file
from linnet.storage.files import is_a_file

router = APIRouter()
RUNS = "/apis/v2beta1/runs"
LOGS = "/apis/v1alpha1/runs/{run_id}/nodes/{node_id}/log"
"""Where KFP's API server gives a task's log."""


@router.post(RUNS)
def create_run(request: Request, body: Body) -> dict[str, Any]:
    """Takes a run in; the same `Idempotency-Key` gives the same run."""
    key = request.headers.get(KEY_HEADER, "")
    return run_view(engine_of(request).submissions.submit(body, key, caller=caller_of(request.scope)))


@router.get(RUNS)
def list_runs(request: Request, experiment_id: str = "") -> dict[str, Any]:
    """Runs without their details."""
    return page(request, "run", "runs", lambda run: run_view(run, details=False), experiment_id=experiment_id)


@router.get(RUNS + "/{run_id}")
def get_run(request: Request, run_id: str) -> dict[str, Any]:
    """A run with its tasks."""
    return run_view(engine_of(request).store.get("run", run_id))


@router.delete(RUNS + "/{run_id}")
def delete_run(request: Request, run_id: str) -> dict[str, Any]:
    """Forgets a run that has ended; its folder stays, as models and runs after it may link to its files."""
    engine = engine_of(request)
    _ended(engine, run_id)
    engine.store.remove("run", run_id)
    return {}


@router.post(RUNS + "/{run_id}:terminate")
def terminate_run(request: Request, run_id: str) -> dict[str, Any]:
    """Ends a run."""
    owner = caller_of(request.scope) == "owner"
    engine_of(request).supervisor.terminate(run_id, current_actor() if owner else "a guest of the engine")
    return {}


@router.post(RUNS + "/{run_id}:retry")
def retry_run(request: Request, run_id: str) -> dict[str, Any]:
    """Lets a run go on that failed or was terminated."""
    engine_of(request).supervisor.retry(run_id)
    return {}


@router.post(RUNS + "/{run_id}:archive")
def archive_run(request: Request, run_id: str) -> dict[str, Any]:
    """Puts an ended run away."""
    engine = engine_of(request)
    _ended(engine, run_id)
    engine.store.change("run", run_id, {"storage_state": "ARCHIVED"})
    return {}


@router.post(RUNS + "/{run_id}:unarchive")
def unarchive_run(request: Request, run_id: str) -> dict[str, Any]:
    """Brings an archived run back."""
    engine_of(request).store.change("run", run_id, {"storage_state": "AVAILABLE"})
    return {}


@router.get(LOGS)
def read_log(request: Request, run_id: str, node_id: str, follow: bool = False) -> StreamingResponse:
    """A task's log; with `follow` until the task, or its run, ends. The node `run` is the whole run's log."""
    engine = engine_of(request)
    run = engine.store.get("run", run_id)
    file = folder_of(run) / "log.txt"
    if node_id != "run":
        file = log_file(folder_of(run), _task(run, node_id).path)
    return StreamingResponse(
        _lines(engine, run, node_id, file, follow), media_type="text/plain; charset=utf-8"
    )


@router.get("/linnet/v1/runs/{run_id}/artifacts")
def list_artifacts(request: Request, run_id: str) -> dict[str, Any]:
    """The artifacts of a run, each with its task, output, place, type and metadata; all of them, or none."""
    run = engine_of(request).store.get("run", run_id)
    tasks, unreadable = tasks_of(folder_of(run))
    for name, problem in unreadable.items():
        raise ApiError("INTERNAL", f"nobody knows what the task {name} of {run_id} wrote: {problem}")
    found = [
        {"task_id": task.path, **artifact.model_dump(mode="json")}
        for task in tasks
        if task.kind in ("program", "importer")
        for artifact in task.artifacts
    ]
    return {"artifacts": found}


@router.get("/linnet/v1/runs/{run_id}/artifacts/{node_id}/{output}/{number}/{path:path}")
def read_artifact(
    request: Request, run_id: str, node_id: str, output: str, number: int, path: str
) -> FileResponse:
    """A file of an artifact; `path` is empty where the artifact is a file itself."""
    run = engine_of(request).store.get("run", run_id)
    written = [artifact for artifact in _task(run, node_id).artifacts if artifact.output == output]
    if number >= len(written):
        raise ApiError("NOT_FOUND", f"the task {node_id} has no artifact {output} number {number}")
    root = Path(written[number].uri).resolve()
    file = (root / path).resolve() if path else root
    if not file.is_relative_to(root) or not root.is_relative_to(runs.runs_dir()) or not is_a_file(file):
        raise ApiError("NOT_FOUND", f"the artifact {output} of {node_id} has no file {path!r}")
    return FileResponse(file)


def _ended(engine: Engine, run_id: str) -> None:
    state = engine.store.get("run", run_id).body["state"]
    if state in ("PENDING", *ACTIVE):
        raise ApiError("FAILED_PRECONDITION", f"the run {run_id} is {state}: terminate it first")


def _task(run: Resource, node_id: str) -> TaskRecord:
    tasks, unreadable = tasks_of(folder_of(run))
    found = [task for task in tasks if task.path == node_id]
    if not found and (problem := unreadable.get(task_file(node_id))):
        raise ApiError("INTERNAL", problem)
    if not found:
        raise ApiError("NOT_FOUND", f"the run {run.id} has no task {node_id!r}")
    return found[0]


def _lines(engine: Engine, run: Resource, node_id: str, file: Path, follow: bool) -> Iterator[bytes]:
    position = 0
    while True:
        over = not follow or engine.store.get("run", run.id).body["state"] not in ("PENDING", *ACTIVE)
        over = over or (node_id != "run" and _task(run, node_id).ended_at is not None)
        if file.exists():
            with file.open("rb") as log:
                log.seek(position)
                while piece := log.read(1 << 16):
                    yield piece
                position = log.tell()
        if over:
            return
        time.sleep(0.1)
