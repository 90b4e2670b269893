"""Placeholders such as `{{$.pipeline_job_name}}`: filled in what the pipeline's author wrote, never in data.

A template is filled in one pass, and what was put in is not read again: a value that looks like a
placeholder arrives as it is. What is not known stays as it stands, as it does on a cluster.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from linnet.records.record import Record
from linnet.runner.values import as_text

_PLACEHOLDER = re.compile(r"\{\{\$[^{}]*\}\}")
_INPUT = re.compile(r"\{\{\$\.inputs\.parameters\[(['\"])([^'\"]+)\1\]\}\}")
JOB_FILE = "job.json"
WORKSPACE = "workspace"
"""A run's folder that all its tasks share: the workspace that a pipeline's config asks for."""


class Job(Record):
    """What a run is called: `job.json` in its folder, written when it is submitted."""

    run_id: str
    display_name: str = ""
    created_at: datetime
    scheduled_at: datetime | None = None
    """The moment of its schedule; None: nobody scheduled it, and the moment of its creation stands for it."""

    @classmethod
    def of(cls, folder: Path, created_at: datetime) -> Job:
        """The job of a run's folder; one from an earlier version is called as its folder."""
        file = folder / JOB_FILE
        return cls.load(file) if file.exists() else cls(run_id=folder.name, created_at=created_at)


@dataclass(frozen=True)
class Names:
    """The placeholders that the driver of a cluster resolves (backend/src/v2/driver/resolve.go)."""

    job: Job
    root: str = ""
    """The folder of the run's artifacts."""

    def of(self, task: str, path: str) -> dict[str, str]:
        """The placeholders of a task by its name in the DAG and its path in the run, which identifies it."""
        return {
            "{{$.pipeline_job_name}}": self.job.display_name or self.job.run_id,
            "{{$.pipeline_job_resource_name}}": self.job.run_id,
            "{{$.pipeline_job_uuid}}": self.job.run_id,
            "{{$.pipeline_task_name}}": task,
            "{{$.pipeline_task_uuid}}": path,
            "{{$.pipeline_job_create_time_utc}}": _rfc3339(self.job.created_at),
            "{{$.pipeline_job_schedule_time_utc}}": _rfc3339(self.job.scheduled_at or self.job.created_at),
            "{{$.pipeline_root}}": self.root,
            "{{$.workspace_path}}": str(Path(self.root).parent / WORKSPACE),
        }


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def inputs_named(template: Any) -> set[str]:
    """The input parameters that a template, or the templates within a list or struct, name."""
    if isinstance(template, str):
        return {name for _, name in _INPUT.findall(template)}
    parts = (
        template.values() if isinstance(template, dict) else template if isinstance(template, list) else ()
    )
    return {name for part in parts for name in inputs_named(part)}


def fill(template: Any, names: Mapping[str, str], parameters: Mapping[str, Any]) -> Any:
    """A constant of the pipeline with its placeholders filled, also within lists and structs.

    Args:
        template: text, list or struct; anything else is returned as it is.
        names: values by whole placeholder.
        parameters: values of input parameters.
    """
    if isinstance(template, dict):
        return {key: fill(part, names, parameters) for key, part in template.items()}
    if isinstance(template, list):
        return [fill(part, names, parameters) for part in template]
    if not isinstance(template, str) or "{{$" not in template:
        return template

    def value(found: re.Match[str]) -> str:
        if (named := _INPUT.fullmatch(found[0])) is not None and named[2] in parameters:
            return as_text(parameters[named[2]])
        return names.get(found[0], found[0])

    return _PLACEHOLDER.sub(value, template)
