"""Average precision, F1 and overlap of sets of classes; thresholds chosen on the validation split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from linnet.config import EvaluationConfig
from linnet.records import CohortResult, Interval
from linnet.records.model import MOST_SUSPECTS
from linnet.statistics import intervals
from linnet.statistics.bootstrap import sample_weights
from linnet.statistics.catalog import BY_KEY, Metric
from linnet.statistics.metrics import equal_mass_bins, ratio
from linnet.statistics.reliability import ReliabilityBin, reliability
from linnet.statistics.temperature import binary_temperature, sigmoid
from linnet.tasks.multilabel.answer import USUAL
from linnet.tasks.score import CLASS, Fitted, Floats, Logits, Score, Undivided
from linnet.tasks.target import Targets

_LEAST = 1e-12
"""A probability of 0 or 1 has no logit."""
_EDGES = 0.05, 0.95
"""Bounds of a threshold: beyond them it follows single samples."""
_ENOUGH = 10
"""Validation samples of a class from which its threshold is chosen; fewer keep the usual one."""
_SURE = 0.95
"""Probability that contradicts a label."""


@dataclass(frozen=True)
class LabelSets:
    """N samples: which of K classes each has, and how probable each is."""

    targets: npt.NDArray[np.bool_]
    probabilities: Floats
    thresholds: Floats
    """[K]"""

    @property
    def samples(self) -> int:
        """N."""
        return len(self.targets)

    @property
    def output(self) -> Floats:
        """The probabilities."""
        return self.probabilities

    @cached_property
    def finite(self) -> npt.NDArray[np.bool_]:
        """Samples whose probabilities are numbers: [N]."""
        return np.asarray(np.isfinite(self.probabilities).all(axis=1))

    @property
    def not_finite(self) -> int:
        """Samples with a probability that is no number or infinite."""
        return int((~self.finite).sum())

    @cached_property
    def named(self) -> npt.NDArray[np.bool_]:
        """Classes that reach their thresholds: [N, K]."""
        named: npt.NDArray[np.bool_] = self.probabilities >= self.thresholds
        return named

    @cached_property
    def scores(self) -> Floats:
        """The Jaccard index of named and true classes, [N]; 1 where both are empty, 0 for no numbers."""
        both = (self.named & self.targets).sum(axis=1)
        either = (self.named | self.targets).sum(axis=1)
        scores = np.divide(both, either, out=np.ones(self.samples), where=either > 0)
        return np.where(self.finite, scores, 0.0)


class _Sets(Undivided):
    metrics: tuple[Metric, ...] = tuple(
        BY_KEY[key]
        for key in (
            "accuracy",
            "map",
            "macro_f1",
            "micro_f1",
            "macro_precision",
            "macro_recall",
            "worst_recall",
            "ece",
        )
    )
    gated: tuple[str, ...] = ("accuracy", "macro_f1", "micro_f1", "map")

    def fit(self, logits: Logits, targets: Targets, classes: int = 0) -> Fitted:  # noqa: ARG002
        temperature = binary_temperature(logits, targets)
        if not np.isfinite(temperature):
            return Fitted(temperature, (USUAL,) * targets.shape[1])
        return Fitted(temperature, best_thresholds(sigmoid(logits / temperature), targets > 0))

    def results(self, targets: Targets, logits: Logits, fitted: Fitted) -> LabelSets:
        return self.described(targets, sigmoid(logits / fitted.temperature), fitted.thresholds)

    def described(self, targets: Targets, output: Floats, thresholds: tuple[float, ...]) -> LabelSets:
        return LabelSets(targets > 0, output, np.asarray(thresholds, np.float64))

    def intervals(self, results: LabelSets, config: EvaluationConfig) -> dict[str, Interval]:
        level, rng = config.confidence, np.random.default_rng(config.seed)
        drawn = [
            _resampled(results, config.calibration_bins, weights, rng)
            for weights in sample_weights(results.samples, config.resamples, rng)
        ]
        values = point_values(results, config.calibration_bins)
        found = {
            key: intervals.around(values[key], np.concatenate([part[key] for part in drawn]), level)
            for key in values
        }
        ece = found["ece"]  # a mean of absolute values is biased upwards, and so is its bootstrap
        found["ece"] = Interval(
            value=ece.value, low=max(0.0, min(ece.value, 2 * ece.value - ece.high)), high=ece.high
        )
        found["accuracy"] = intervals.wilson(float(results.scores.sum()), results.samples, level)
        hits, support = (part.sum(axis=0) for part in (results.named & results.targets, results.targets))
        found["worst_recall"] = intervals.worst_share(hits, support, level)
        return {metric.key: found[metric.key] for metric in self.metrics}

    def uncalibrated(self, results: LabelSets, temperature: float) -> LabelSets:
        sure = np.clip(results.probabilities, _LEAST, 1 - _LEAST)
        logits = (np.log(sure) - np.log1p(-sure)) * temperature
        return LabelSets(results.targets, sigmoid(logits), results.thresholds)

    def reliability(self, results: LabelSets, bins: int) -> tuple[ReliabilityBin, ...]:
        """Whether a sample has a class: N times K statements."""
        return reliability(results.probabilities.ravel(), results.targets.ravel(), bins)

    def calibration_error(self, results: LabelSets, bins: int) -> float:
        gaps, size = _gaps(results, bins)
        return float(np.abs(gaps.sum(axis=0)).sum() / size)

    def per_class(self, results: LabelSets, classes: Sequence[str]) -> dict[str, dict[str, float]]:
        hits, support, named = (
            part.sum(axis=0) for part in (results.named & results.targets, results.targets, results.named)
        )
        wrong, others = named - hits, results.samples - support
        precisions = average_precisions(results.targets, results.probabilities)
        return {
            name: {
                "precision": ratio(hits[k], named[k], 0.0),
                "recall": ratio(hits[k], support[k]),
                "f1": ratio(2 * hits[k], support[k] + named[k]) if support[k] else float("nan"),
                "false_positive_rate": ratio(wrong[k], others[k]),
                "average_precision": float(precisions[k]),
                "threshold": float(results.thresholds[k]),
                "support": float(support[k]),
            }
            for k, name in enumerate(classes)
        }

    def recalls(self, results: LabelSets, classes: Sequence[str], confidence: float) -> list[CohortResult]:
        hits, support = (part.sum(axis=0) for part in (results.named & results.targets, results.targets))
        return [
            CohortResult(
                cohort=CLASS,
                value=name,
                samples=int(support[k]),
                accuracy=intervals.wilson(int(hits[k]), int(support[k]), confidence),
            )
            for k, name in enumerate(classes)
            if support[k]
        ]

    def confusion(self, results: LabelSets) -> tuple[tuple[int, ...], ...]:  # noqa: ARG002
        return ()

    def ranked(self, results: LabelSets) -> npt.NDArray[np.int64]:
        """By the class that is contradicted most surely."""
        if results.not_finite:
            return np.zeros(0, np.int64)
        return np.argsort(-_against(results), kind="stable")

    def suspects(self, results: LabelSets) -> npt.NDArray[np.int64]:
        order = self.ranked(results)
        return order[_against(results)[order] >= _SURE][:MOST_SUSPECTS]


def _against(results: LabelSets) -> Floats:
    """How surely a sample's label is contradicted in one class at least: [N]."""
    against: Floats = np.where(results.targets, 1 - results.probabilities, results.probabilities).max(axis=1)
    return against


def best_thresholds(probabilities: Floats, targets: npt.NDArray[np.bool_]) -> tuple[float, ...]:
    """One threshold per class: that of the best F1 on these samples, in the middle between two of them.

    Of equal ones the nearest to 0.5; a class with fewer than 10 samples keeps 0.5.
    """
    return tuple(
        _best_threshold(probabilities[:, k], targets[:, k]) if targets[:, k].sum() >= _ENOUGH else USUAL
        for k in range(targets.shape[1])
    )


def _best_threshold(scores: Floats, own: npt.NDArray[np.bool_]) -> float:
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], np.cumsum(own[order])
    f1 = 2 * hits / (np.arange(1, len(own) + 1) + own.sum())
    below = np.append(ordered[1:], 0.0)
    cuts = np.clip((ordered + below) / 2, *_EDGES)
    named = len(ordered) - np.searchsorted(ordered[::-1], cuts, "left")  # as many as such a cut names
    f1 = np.where(named > 0, f1[np.maximum(named, 1) - 1], 0.0)
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    return float(cuts[best[np.abs(cuts[best] - USUAL).argmin()]])


def average_precisions(targets: npt.NDArray[np.bool_], probabilities: Floats) -> Floats:
    """Average precision a class [K]; NaN for a class without samples.

    The sum over thresholds of precision times the gain of recall, equal probabilities at once, without
    interpolation: as scikit-learn's average_precision_score.
    """
    weights = np.ones((1, len(targets)))
    return np.array(
        [
            _precision(weights, targets[:, k], probabilities[:, k])[0] if targets[:, k].any() else np.nan
            for k in range(targets.shape[1])
        ]
    )


def _precision(
    weights: Floats, own: npt.NDArray[np.bool_], scores: Floats, missed: Floats | float = 0.0
) -> Floats:
    """Average precision [R] under weights [R, N]; `missed` [R]: weight of samples that rank last of all."""
    order = np.argsort(-scores, kind="stable")
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(order) - 1)  # of equal probabilities
    drawn = weights[:, order]
    seen = np.cumsum(drawn, axis=1)[:, last]
    hits = np.cumsum(drawn * own[order], axis=1)[:, last]
    gain = np.diff(hits, axis=1, prepend=0.0)
    precision: Floats = (hits / np.maximum(seen, 1e-12) * gain).sum(axis=1) / (hits[:, -1] + missed)
    return precision


def point_values(results: LabelSets, bins: int) -> dict[str, float]:
    """The resampled metrics as they are."""
    none = np.zeros((1, results.targets.shape[1]))
    drawn = _from(results, bins, np.ones((1, results.samples)), none, none)
    return {key: float(values[0]) for key, values in drawn.items()}


def _resampled(results: LabelSets, bins: int, weights: Floats, rng: np.random.Generator) -> dict[str, Floats]:
    """One value a resample. Half a miss and half a false alarm a class are drawn with the samples (Jeffreys'
    prior), so that an interval keeps a width where nothing was wrong."""
    shape = len(weights), results.targets.shape[1]
    return _from(results, bins, weights, rng.gamma(0.5, size=shape), rng.gamma(0.5, size=shape))


def _from(
    results: LabelSets, bins: int, weights: Floats, missed: Floats, alarms: Floats
) -> dict[str, Floats]:
    hits = weights @ (results.named & results.targets).astype(np.float64)
    support = weights @ results.targets.astype(np.float64) + missed
    named = weights @ results.named.astype(np.float64) + alarms
    present = results.targets.any(axis=0)
    precision = np.divide(hits, named, out=np.zeros_like(hits), where=named > 0)
    recall = np.divide(hits, support, out=np.zeros_like(hits), where=support > 0)
    f1 = np.divide(2 * hits, support + named, out=np.zeros_like(hits), where=support + named > 0)
    ranked = [
        _precision(weights, results.targets[:, k], results.probabilities[:, k], missed[:, k])
        for k in np.flatnonzero(present)
    ]
    gaps, size = _gaps(results, bins)
    total = support.sum(axis=1) + named.sum(axis=1)
    micro = np.divide(2 * hits.sum(axis=1), total, out=np.zeros(len(weights)), where=total > 0)
    means = {"macro_precision": precision, "macro_recall": recall, "macro_f1": f1}
    return {
        "map": np.mean(ranked, axis=0) if ranked else np.full(len(weights), np.nan),
        "micro_f1": micro,
        **{
            key: values[:, present].mean(axis=1) if present.any() else np.full(len(weights), np.nan)
            for key, values in means.items()
        },
        "ece": np.abs(weights @ gaps).sum(axis=1) / size,
    }


def _gaps(results: LabelSets, bins: int) -> tuple[Floats, int]:
    """Probability minus truth, summed over a sample's classes in each bin: [N, bins]; and N times K."""
    flat = results.probabilities.ravel()
    which = equal_mass_bins(flat, bins)
    rows = np.repeat(np.arange(results.samples), results.targets.shape[1])
    places = rows * bins + which
    gaps = np.bincount(places, flat - results.targets.ravel(), minlength=results.samples * bins)
    return gaps.reshape(results.samples, bins).astype(np.float64), max(flat.size, 1)


SCORE: Score = _Sets()
