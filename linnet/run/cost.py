"""What a run is estimated to have cost, and what the cache spared it: arithmetic on its stages."""

from __future__ import annotations

from collections.abc import Iterable

from linnet.config import CostConfig
from linnet.records import RunCost, StageRecord

_HOUR = 3600.0


def priced(stage: StageRecord, prices: CostConfig) -> StageRecord:
    """The stage with its estimated cost: processor and GPU seconds, and peak memory for its duration."""
    memory = stage.peak_memory_mb / 1024 * stage.seconds * prices.memory_gb_hour / _HOUR
    return stage.model_copy(
        update={"cost": _computing(stage.cpu_seconds, stage.gpu_seconds, prices) + memory}
    )


def of_run(stages: Iterable[StageRecord], prices: CostConfig) -> RunCost:
    """The sums over all stages. Memory is no part of what was saved: nobody knows its peak then."""
    stages = [priced(stage, prices) for stage in stages]
    saved = [_computing(stage.saved_cpu_seconds, stage.saved_gpu_seconds, prices) for stage in stages]
    return RunCost(
        currency=prices.currency,
        seconds=sum(stage.seconds for stage in stages),
        cpu_seconds=sum(stage.cpu_seconds for stage in stages),
        gpu_seconds=sum(stage.gpu_seconds for stage in stages),
        peak_memory_mb=max((stage.peak_memory_mb for stage in stages), default=0.0),
        cost=sum(stage.cost for stage in stages),
        saved_seconds=sum(stage.saved_seconds for stage in stages),
        saved_cost=sum(saved),
    )


def _computing(cpu_seconds: float, gpu_seconds: float, prices: CostConfig) -> float:
    return (cpu_seconds * prices.cpu_hour + gpu_seconds * prices.gpu_hour) / _HOUR
