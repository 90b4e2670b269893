"""Records of a run and its stages."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from linnet.records.record import Record


class RunRequest(Record):
    """Who or what asked for a run, and why."""

    cause: Literal["person", "merge", "drift", "labels", "schedule"]
    actor: str
    reason: str = ""
    evidence: dict[str, Any] = {}
    commit: str = ""
    """Commit of the working tree that asked; empty: that of the machine that runs it."""


class StageRecord(Record):
    """One step of a run, as it went."""

    task: str
    state: Literal["running", "succeeded", "failed", "skipped"]
    started_at: datetime
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    cached: bool = False
    saved_seconds: float = 0.0
    """What the work took when it really ran, if this time the cache had it."""
    key: str = ""
    values: dict[str, Any] = {}
    """Scalar outputs of the step."""
    error: str = ""
    """The one message a person should see."""
    final: bool = False
    """Whether trying again cannot help."""
    exit_code: int = 0


class RunRecord(Record):
    """One run of a pipeline: `run.json`."""

    run_id: str
    pipeline: str
    config: dict[str, Any]
    commit: str
    request: RunRequest
    state: Literal["running", "succeeded", "failed", "rejected", "interrupted"]
    """rejected: every step worked, and a gate or the canary said no."""
    started_at: datetime
    ended_at: datetime | None = None
    stages: tuple[StageRecord, ...] = ()
    error: str = ""
