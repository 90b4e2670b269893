"""Resources as KFP's API shows them, with what a run's folder knows."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, NamedTuple

from linnet.engine.listing import timestamp
from linnet.engine.store import Resource
from linnet.engine.supervisor import folder_of
from linnet.errors import LinnetError, StorageError
from linnet.records import TaskRecord
from linnet.runner.spec import Spec
from linnet.storage.files import listed

logger = logging.getLogger(__name__)


def run_view(run: Resource, details: bool = True) -> dict[str, Any]:
    """A `Run`; with details its pipeline and its tasks too."""
    if not details:
        return run.body
    folder = folder_of(run)
    shown = {**run.body, "run_details": {"task_details": task_details(run)}}
    if "pipeline_version_reference" not in run.body:
        try:
            shown["pipeline_spec"] = Spec.from_text((folder / "pipeline.json").read_bytes()).values()
        except (OSError, LinnetError) as error:
            logger.warning(
                "%s: the pipeline of run %s is not shown: %s", folder / "pipeline.json", run.id, error
            )
    return shown


class Tasks(NamedTuple):
    """The tasks of a run that are known so far."""

    records: list[TaskRecord]
    """In the order in which they became known."""
    unreadable: dict[str, str]
    """By the name of its file: what is wrong with the record of a task that nobody can read."""


def tasks_of(folder: Path) -> Tasks:
    """The tasks of a run; a record that cannot be read keeps none of the others from being shown."""
    found: list[TaskRecord] = []
    unreadable: dict[str, str] = {}
    try:
        files = listed(folder / "tasks", "[!.]*.json")
    except StorageError as error:
        return Tasks([], {"tasks": str(error)})
    for file in files:
        try:
            found.append(TaskRecord.load(file))
        except LinnetError as error:
            if file.exists():  # else it is tried again just now
                unreadable[file.stem] = str(error)
    return Tasks(sorted(found, key=lambda task: (task.created_at, task.path)), unreadable)


def task_details(run: Resource) -> list[dict[str, Any]]:
    """The run's tasks as `PipelineTaskDetail`s; a task's id is its path in the run."""
    tasks, unreadable = tasks_of(folder_of(run))
    shown = [_task(run, task, [other.path for other in tasks if other.parent == task.path]) for task in tasks]
    return shown + [_unreadable(run, name, problem) for name, problem in unreadable.items()]


def _unreadable(run: Resource, name: str, problem: str) -> dict[str, Any]:
    """Nobody knows how it went: it is neither left out nor taken for one that did not run."""
    error = {"code": 13, "message": f"its record cannot be read: {problem}"}
    state = "RUNTIME_STATE_UNSPECIFIED"
    return {"run_id": run.id, "task_id": name, "display_name": name, "state": state, "error": error}


def _task(run: Resource, task: TaskRecord, below: list[str]) -> dict[str, Any]:
    moments = {"create_time": task.created_at, "start_time": task.started_at, "end_time": task.ended_at}
    shown: dict[str, Any] = {
        "run_id": run.id,
        "task_id": task.path,
        "display_name": task.name,
        "state": task.state,
        **{name: timestamp(moment) for name, moment in moments.items() if moment},
        "outputs": {a.output: {"artifact_ids": []} for a in task.artifacts},
        "child_tasks": [{"task_id": path} for path in below],
    }
    for number, artifact in enumerate(task.artifacts):
        shown["outputs"][artifact.output]["artifact_ids"].append(str(number))
    if task.parent:
        shown["parent_task_id"] = task.parent
    if task.error:
        shown["error"] = {"code": 2, "message": task.error}
    return shown
