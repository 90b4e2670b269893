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
    """Of all processors, child processes too."""
    gpu_seconds: float = 0.0
    """GPUs held, times the seconds that they were held."""
    peak_memory_mb: float = 0.0
    cached: bool = False
    saved_seconds: float = 0.0
    """What the work took when it really ran, if this time the cache had it."""
    saved_cpu_seconds: float = 0.0
    saved_gpu_seconds: float = 0.0
    cost: float = 0.0
    """Estimated, in the run's currency; set when the run ends."""
    key: str = ""
    values: dict[str, Any] = {}
    """Scalar outputs of the step."""
    error: str = ""
    """The one message a person should see."""
    final: bool = False
    """Whether trying again cannot help."""
    exit_code: int = 0


class RunCost(Record):
    """What a run took and is estimated to have cost, and what the cache spared it."""

    currency: str
    seconds: float
    """Of all stages, one after the other."""
    cpu_seconds: float
    gpu_seconds: float
    peak_memory_mb: float
    cost: float
    saved_seconds: float
    saved_cost: float


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
    versions: dict[str, str] = {}
    """Python, and the libraries that the result depends on."""
    cost: RunCost | None = None

    @property
    def model_name(self) -> str:
        """The registered model that the run is about; empty if its config names none."""
        return str(self.config.get("registry", {}).get("model") or self.config.get("name") or "")
