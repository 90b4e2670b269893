"""Records of a run's tasks, as its pipeline names them: groups, iterations and programs alike."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime
from typing import Any, Literal

from linnet.records.record import Record

_LONGEST_NAME = 200
"""Bytes of a file's name; most file systems take 255, and a name is longer while it is written."""


def task_file(path: str) -> str:
    """The name of a task's files: its path, or its beginning and a digest where no file may be called so."""
    if len(path) <= _LONGEST_NAME and re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]*", path):
        return path
    digest = hashlib.blake2b(path.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9_-]', '_', path)[:100]}-{digest}"


class ArtifactRecord(Record):
    """An artifact that a task wrote."""

    output: str
    """The output's name."""
    uri: str
    type: str
    """KFP's schema title, such as `system.Model`."""
    digest: str = ""
    """SHA-256 over names and contents when the task ended; empty where they are not on this machine."""
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
