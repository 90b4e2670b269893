"""Records of a run's tasks, as its pipeline names them: groups, iterations and programs alike."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from linnet.records.record import Record


class ArtifactRecord(Record):
    """An artefact that a task wrote."""

    output: str
    """The output's name."""
    uri: str
    type: str
    """KFP's schema title, such as `system.Model`."""
    metadata: dict[str, Any] = {}


class TaskRecord(Record):
    """One task of a run, as it went: `tasks/PATH.json`."""

    path: str
    """Names from the pipeline down to the task, joined by dots; unique in the run."""
    name: str
    parent: str = ""
    """Path of the group or iteration that holds it; empty at the top."""
    kind: Literal["program", "importer", "group", "loop"]
    state: Literal["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "SKIPPED", "CANCELED"]
    attempts: int = 0
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: str = ""
    process: tuple[int, int] | None = None
    """Id and start time (clock ticks after boot) of its program, while it runs."""
    inputs: str = ""
    """Digest of the values of its inputs: the same task with other inputs is another task."""
    parameters: dict[str, Any] = {}
    """Values of its output parameters."""
    artifacts: tuple[ArtifactRecord, ...] = ()
