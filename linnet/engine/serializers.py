"""Resources as KFP's API shows them, with what a run's folder knows."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from linnet.engine.listing import timestamp
from linnet.engine.store import Resource
from linnet.engine.supervisor import folder_of
from linnet.errors import LinnetError
from linnet.records import TaskRecord
from linnet.runner.spec import Spec


def run_view(run: Resource, details: bool = True) -> dict[str, Any]:
    """A `Run`; with details its pipeline and its tasks too."""
    if not details:
        return run.body
    folder = folder_of(run)
    shown = {**run.body, "run_details": {"task_details": task_details(run)}}
    if "pipeline_version_reference" not in run.body:
        with contextlib.suppress(OSError, LinnetError):
            shown["pipeline_spec"] = Spec.from_text((folder / "pipeline.json").read_bytes()).values()
    return shown


def tasks_of(folder: Path) -> list[TaskRecord]:
    """The tasks of a run that are known so far, in the order in which they became known."""
    found = []
    for file in (folder / "tasks").glob("[!.]*.json"):
        with contextlib.suppress(LinnetError):
            found.append(TaskRecord.load(file))
    return sorted(found, key=lambda task: (task.created_at, task.path))


def task_details(run: Resource) -> list[dict[str, Any]]:
    """The run's tasks as `PipelineTaskDetail`s; a task's id is its path in the run."""
    tasks = tasks_of(folder_of(run))
    return [_task(run, task, [other.path for other in tasks if other.parent == task.path]) for task in tasks]


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
