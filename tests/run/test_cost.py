"""The estimate of what a run cost is plain arithmetic on its stages."""

from __future__ import annotations

import pytest

from linnet.config import CostConfig
from linnet.records import StageRecord, now
from linnet.run.cost import of_run, priced

PRICES = CostConfig(currency="EUR", cpu_hour=0.1, memory_gb_hour=0.01, gpu_hour=2.0)


def stage(**facts: float) -> StageRecord:
    return StageRecord(task="train", state="succeeded", started_at=now(), **facts)  # type: ignore[arg-type]


def test_stage_costs_its_processors_gpus_and_memory() -> None:
    took = stage(seconds=1800, cpu_seconds=3600, gpu_seconds=1800, peak_memory_mb=2048)
    assert priced(took, PRICES).cost == pytest.approx(0.1 + 1.0 + 2 * 0.5 * 0.01)


def test_run_costs_the_sum_and_says_what_the_cache_saved() -> None:
    took = stage(seconds=60, cpu_seconds=120, peak_memory_mb=512)
    hit = stage(seconds=0.1, cpu_seconds=0, saved_seconds=900, saved_cpu_seconds=1800, saved_gpu_seconds=900)
    cost = of_run([took, hit], PRICES)
    assert (cost.currency, cost.seconds, cost.cpu_seconds, cost.saved_seconds) == ("EUR", 60.1, 120, 900)
    assert cost.peak_memory_mb == 512
    assert cost.cost == pytest.approx(priced(took, PRICES).cost)
    assert cost.saved_cost == pytest.approx(0.05 + 0.5)


def test_run_without_stages_costs_nothing() -> None:
    assert of_run([], PRICES).model_dump(exclude={"currency"}) == dict.fromkeys(
        ("seconds", "cpu_seconds", "gpu_seconds", "peak_memory_mb", "cost", "saved_seconds", "saved_cost"),
        0.0,
    )
