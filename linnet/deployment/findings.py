"""What the judge found on one metric, in numbers for the plot and in words for a person."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, isfinite, nan
from typing import Any, Literal

import numpy as np

from linnet.config import JudgedMetric, ReleaseConfig
from linnet.deployment.evidence import QUANTILES, RolloutEvidence, share
from linnet.deployment.sequential import FREQUENT, RARE, SOME, difference_bounds, share_bounds
from linnet.records import MetricJudgement

Word = Literal["good", "bad", "unknown"]


@dataclass(frozen=True, slots=True)
class _Found:
    champion: float
    candidate: float
    low: float
    high: float
    margin: float
    evidence: str


def describe_metric(
    metric: JudgedMetric,
    evidence: RolloutEvidence,
    config: ReleaseConfig,
    levels: tuple[float, float],
    word: Word,
) -> MetricJudgement:
    """The judgement `word` on a metric; `levels` are its alpha (proof of bad) and beta (of good)."""
    ours, theirs = evidence.candidate, evidence.champion
    if metric == "errors":
        missed = int(evidence.unanswered)
        pair = (ours.failed + missed, ours.requests + missed), (theirs.failed, theirs.requests)
        found = _increase("errors", pair, config.max_error_increase, levels)
    elif metric == "validity":
        pair = (ours.invalid, ours.answers), (theirs.invalid, theirs.answers)
        found = _increase("invalid predictions", pair, config.max_error_increase, levels)
    elif metric in QUANTILES:
        found = _latency(metric, evidence, levels, word)
    elif metric == "agreement":
        found = _agreement(evidence, config.min_agreement, levels)
    elif metric == "class_mix":
        found = _class_mix(evidence, config.max_class_shift, levels)
    elif metric == "confidence":
        found = _confidence(evidence, config.max_confidence_shift, levels)
    else:
        found = _accuracy(evidence, config.max_accuracy_drop, levels)
    return MetricJudgement(
        metric=metric,
        champion=found.champion,
        candidate=found.candidate,
        low=found.low,
        high=found.high,
        margin=found.margin,
        verdict=word,
        evidence=found.evidence,
    )


def percent(part: Any, whole: Any) -> str:
    """A share with its number of trials."""
    return f"{part / whole:.2%} of {whole:,}" if whole else "unknown"


def _increase(what: str, pair: Any, margin: float, levels: tuple[float, float]) -> _Found:
    low, high = (float(bound) for bound in difference_bounds(pair[0], pair[1], levels, RARE))
    text = f"{what} {percent(*pair[0])} against {percent(*pair[1])}"
    return _Found(
        share(*pair[1]),
        share(*pair[0]),
        low,
        high,
        margin,
        f"{text}: between {low:+.2%} and {high:+.2%} more, at most {margin:+.2%} is allowed",
    )


def _latency(metric: str, evidence: RolloutEvidence, levels: tuple[float, float], word: Word) -> _Found:
    tail, quantile = evidence.tails[metric], QUANTILES[metric]
    here = float(evidence.candidate.latencies.quantile(quantile))
    there = float(evidence.champion.latencies.quantile(quantile))
    low, high = tail.band(*levels)
    limit = float(tail.limit_ms)
    margin = limit / there if isfinite(limit) and there > 0 else tail.ratio
    # The verdict is a test at the margin itself; the band is drawn in steps of 5 %.
    low, high = (max(low, margin) if word == "bad" else low), (min(high, margin) if word == "good" else high)
    text = f"{metric} latency {here:.1f} ms against {there:.1f} ms"
    if not isfinite(here) or not isfinite(there):
        text = f"{metric} latency unknown"
    high_text = f"{high:.2f}" if isfinite(high) else "any number of"
    return _Found(
        there,
        here,
        low,
        high if isfinite(high) else inf,
        margin,
        f"{text}: between {low:.2f} and {high_text} times, at most {margin:.2f} times is allowed",
    )


def _agreement(evidence: RolloutEvidence, floor: float, levels: tuple[float, float]) -> _Found:
    counts = evidence.agreed, evidence.mirrored
    low, high = (float(bound) for bound in share_bounds(*counts, levels[::-1], FREQUENT))
    text = f"agreement {percent(*counts)}: between {low:.1%} and {high:.1%}"
    return _Found(1.0, share(*counts), low, high, floor, f"{text}, at least {floor:.0%} is needed")


def _class_mix(evidence: RolloutEvidence, margin: float, levels: tuple[float, float]) -> _Found:
    ours, theirs = evidence.class_counts()
    n, m = ours.sum(), theirs.sum()
    if not n or not m:
        return _Found(nan, nan, -1.0, 1.0, margin, "class mix unknown")
    moved = int(np.abs(ours / n - theirs / m).argmax())
    each = levels[0] / (2 * len(ours))
    lows, highs = difference_bounds((ours, n), (theirs, m), (each, each), SOME)
    low, high = float(lows[moved]), float(highs[moved])
    here, there = float(ours[moved] / n), float(theirs[moved] / m)
    return _Found(
        there,
        here,
        low,
        high,
        margin,
        f"class mix: {here:.1%} of {int(n):,} predictions are {evidence.names[moved]} against {there:.1%}, "
        f"between {low:+.1%} and {high:+.1%}, at most {margin:.0%} either way is allowed",
    )


def _confidence(evidence: RolloutEvidence, margin: float, levels: tuple[float, float]) -> _Found:
    ours, theirs = evidence.candidate.confidence, evidence.champion.confidence
    (a, b), (c, d) = ours.bounds(levels[0] / 2), theirs.bounds(levels[0] / 2)
    low, high = float(a - d), float(b - c)
    here, there = float(ours.mean()), float(theirs.mean())
    return _Found(
        there,
        here,
        low,
        high,
        margin,
        f"mean confidence {here:.3f} against {there:.3f}: between {low:+.3f} and {high:+.3f}, "
        f"at most {margin:g} either way is allowed",
    )


def _accuracy(evidence: RolloutEvidence, margin: float, levels: tuple[float, float]) -> _Found:
    ours, theirs = evidence.candidate, evidence.champion
    pair = (ours.correct, ours.answered), (theirs.correct, theirs.answered)
    low, high = (float(bound) for bound in difference_bounds(*pair, levels[::-1], FREQUENT))
    return _Found(
        share(*pair[1]),
        share(*pair[0]),
        low,
        high,
        -margin,
        f"accuracy {percent(*pair[0])} against {percent(*pair[1])}: between {low:+.1%} and {high:+.1%}, "
        f"at least {-margin:+.1%} is needed",
    )
