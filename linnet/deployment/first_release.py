"""Judging a first candidate: there is no champion, so absolute limits hold."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import Literal

from linnet.config import ReleaseConfig
from linnet.deployment.evidence import VersionEvidence, share
from linnet.deployment.findings import percent
from linnet.deployment.sequential import FREQUENT, RARE, quantile_ranks, share_bounds
from linnet.records import MetricJudgement

METRICS = 3
"""Errors, p95 latency and accuracy: each has its share of the error budget."""
_P95 = 0.95


@dataclass(frozen=True, slots=True)
class FirstReleaseBaseline:
    """What a first candidate is held against."""

    latency_p95_ms: float
    """What the package measured alone."""
    accuracy: float
    """Evaluated on the test split."""
    samples: int
    """Images of that split."""


def judge_alone(
    side: VersionEvidence, unanswered: int, config: ReleaseConfig, reference: FirstReleaseBaseline
) -> tuple[MetricJudgement, ...]:
    """Judges errors (invalid predictions included), p95 latency and accuracy; a third of the budget each."""
    levels = config.alpha / METRICS, config.beta
    failed, trials = side.failed + side.invalid + unanswered, side.requests + unanswered
    floor = max(reference.accuracy - config.max_accuracy_drop, 0.0)
    counts = (side.correct, side.answered)
    low, high = (float(bound) for bound in share_bounds(failed, trials, levels, RARE))
    errors = _judgement("errors", (0.0, share(failed, trials)), (low, high), config.max_error_increase,
                        f"errors {percent(failed, trials)}")  # fmt: skip
    low, high = (float(bound) for bound in share_bounds(*counts, levels[::-1], FREQUENT))
    accuracy = _judgement("accuracy", (reference.accuracy, share(*counts)), (low, high), floor,
                          f"accuracy {percent(*counts)}", least=True)  # fmt: skip
    return errors, judge_p95(side, config, reference, levels), accuracy


def judge_p95(
    side: VersionEvidence,
    config: ReleaseConfig,
    reference: FirstReleaseBaseline,
    levels: tuple[float, float],
    tolerated_ms: float = 0.0,
) -> MetricJudgement:
    """p95 latency against an absolute limit, which is not below `tolerated_ms`; levels of bad and of good."""
    alone = max(
        config.first_release_max_latency_ratio * reference.latency_p95_ms, config.first_release_latency_p95_ms
    )
    worst = max(alone, tolerated_ms)
    total = int(side.latencies.total())
    low_rank, _ = quantile_ranks(total, _P95, levels[0])
    _, high_rank = quantile_ranks(total, _P95, levels[1])
    low = float(side.latencies.at_rank(low_rank)) if low_rank >= 1 else 0.0
    high = float(side.latencies.at_rank(high_rank, upper=True)) if high_rank <= total else inf
    slow = float(side.latencies.quantile(_P95))
    verdict: Literal["good", "bad", "unknown"] = (
        "bad" if low > worst else "good" if high <= worst else "unknown"
    )
    return MetricJudgement(
        metric="p95",
        champion=reference.latency_p95_ms,
        candidate=slow,
        low=low,
        high=high,
        margin=worst,
        verdict=verdict,
        evidence=f"p95 latency {slow:.1f} ms: between {low:.1f} and {high:.1f} ms, "
        f"at most {worst:.1f} ms is allowed",
    )


def _judgement(
    metric: str,
    values: tuple[float, float],
    bounds: tuple[float, float],
    limit: float,
    text: str,
    *,
    least: bool = False,
) -> MetricJudgement:
    """A share against a limit that stands for itself: at most, or at `least`, `limit`."""
    low, high = bounds
    bad, good = (high < limit, low >= limit) if least else (low > limit, high <= limit)
    need = "at least" if least else "at most"
    return MetricJudgement(
        metric=metric,
        champion=values[0],
        candidate=values[1],
        low=low,
        high=high,
        margin=limit,
        verdict="bad" if bad else "good" if good else "unknown",
        evidence=f"{text}: between {low:.2%} and {high:.2%}, {need} {limit:.2%} is needed",
    )
