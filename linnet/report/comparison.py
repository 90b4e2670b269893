"""Runs side by side: the settings that differ, what that did to the metrics, and their gates."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, nan
from typing import Any

from linnet.config import Config
from linnet.pages.numbers import signed
from linnet.records import Gate
from linnet.registry.protocol import flattened
from linnet.report.evidence import RunEvidence
from linnet.statistics.catalog import BY_KEY, Metric

OTHER_SAMPLES = "other test samples"
"""Said in place of a change where two models were measured on different samples."""


@dataclass(frozen=True)
class MetricChange:
    """One metric of two models."""

    metric: Metric
    first: float
    second: float
    same_samples: bool = True
    """Whether both were measured on the same test samples; else nothing follows from the two numbers."""

    @property
    def change(self) -> float:
        """Second minus first; NaN where they were measured on different samples."""
        return self.second - self.first if self.same_samples else nan

    @property
    def words(self) -> str:
        """The change in four digits, or why there is none."""
        return signed(self.change, 4) if self.same_samples else OTHER_SAMPLES

    @property
    def verdict(self) -> str:
        """`better`, `worse`, or empty where four digits show no change."""
        if not isfinite(self.change) or abs(self.change) < 5e-5:
            return ""
        return "better" if (self.change > 0) == self.metric.more_is_better else "worse"


def settings(*found: RunEvidence) -> list[tuple[str, list[str | None]]]:
    """Dotted name and each run's value of each setting that differs; None where a run has no such setting."""
    flat = [flattened(_whole(Config.as_named_now(one.record.config))) for one in found]
    values = {key: [one.get(key) for one in flat] for key in sorted({key for one in flat for key in one})}
    return [(key, each) for key, each in values.items() if len(set(each)) > 1]


def metrics(first: RunEvidence, second: RunEvidence) -> list[MetricChange] | None:
    """The metrics that both runs have; None if one of them was not evaluated.

    Of two runs of an older Linnet nobody knows whether they had the same test samples; they are taken to.
    """
    if first.evaluation is None or second.evaluation is None:
        return None
    a, b = first.evaluation.metrics, second.evaluation.metrics
    same = first.evaluation.test_digest == second.evaluation.test_digest
    return [
        MetricChange(metric, a[metric.key].value, b[metric.key].value, same)
        for metric in BY_KEY.values()
        if metric.headline and metric.key in a and metric.key in b
    ]


def gates(*found: RunEvidence) -> list[tuple[str, list[Gate | None]]]:
    """Name and each run's judgement of each gate; None where a run was not judged by it."""
    named = [{gate.name: gate for _, gate in one.gates} for one in found]
    names = dict.fromkeys(name for one in named for name in one)
    return [(name, [one.get(name) for one in named]) for name in names]


def _whole(config: dict[str, Any]) -> dict[str, Any]:
    """Undoes what KFP's structs do to whole numbers: 3.0 is 3 again."""
    return {
        key: _whole(value)
        if isinstance(value, dict)
        else int(value)
        if isinstance(value, float) and value.is_integer()
        else value
        for key, value in config.items()
    }
