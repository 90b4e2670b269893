"""COCO's mean average precision, misses and false positives of boxes; thresholds chosen on validation."""

from __future__ import annotations

from collections.abc import Sequence

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
from linnet.statistics.temperature import binary_temperature
from linnet.tasks.detection.answer import FAINT, USUAL
from linnet.tasks.detection.found import Found, rescaled
from linnet.tasks.detection.mistakes import groups, mistakes
from linnet.tasks.detection.precision import average_precisions
from linnet.tasks.score import CLASS, Fitted, Floats, Logits, Score
from linnet.tasks.target import Targets

_EDGES = FAINT, 0.95
"""Bounds of a threshold: beyond them it follows single boxes."""
_ENOUGH = 10
"""Validation objects of a class from which its threshold is chosen; fewer keep the usual one."""
_SURE = 0.9
"""Score of a box that no label knows, from which the label is doubtful."""


class _Boxes:
    metrics: tuple[Metric, ...] = tuple(
        BY_KEY[key]
        for key in (
            "accuracy", "map", "map50", "macro_f1", "miss_rate", "false_positives", "worst_recall", "ece",
        )
    )  # fmt: skip
    gated: tuple[str, ...] = ("accuracy", "macro_f1", "map", "map50")

    def fit(self, logits: Logits, targets: Targets, classes: int = 0) -> Fitted:
        classes = max(
            classes,
            int(max(targets[..., 0].max(initial=0), np.nan_to_num(logits[..., 5]).max(initial=0))) + 1,
        )
        raw = Found(targets, logits.astype(np.float64), np.full(classes, USUAL))
        if raw.not_finite:
            return Fitted(float("nan"), (USUAL,) * classes)
        temperature = fit_temperature(*raw.claims)
        scaled = Found(targets, rescaled(raw.output, temperature), raw.thresholds)
        return Fitted(temperature, tuple(_best_threshold(scaled, k) for k in range(classes)))

    def results(self, targets: Targets, logits: Logits, fitted: Fitted) -> Found:
        return self.described(
            targets, rescaled(logits.astype(np.float64), fitted.temperature), fitted.thresholds
        )

    def described(self, targets: Targets, output: Floats, thresholds: tuple[float, ...]) -> Found:
        return Found(targets, output, np.asarray(thresholds, np.float64))

    def intervals(self, results: Found, config: EvaluationConfig) -> dict[str, Interval]:
        level, rng = config.confidence, np.random.default_rng(config.seed)
        weights = np.concatenate(list(sample_weights(results.samples, config.resamples, rng)))
        values = {
            key: float(row[0]) for key, row in _drawn(results, np.ones((1, results.samples)), config).items()
        }
        drawn = _drawn(results, weights, config, rng)
        found = {key: intervals.around(values[key], drawn[key], level) for key in values}
        ece = found["ece"]  # a mean of absolute values is biased upwards, and so is its bootstrap
        found["ece"] = Interval(
            value=ece.value, low=max(0.0, min(ece.value, 2 * ece.value - ece.high)), high=ece.high
        )
        found["accuracy"] = intervals.wilson(float(results.scores.sum()), results.samples, level)
        hits, support = (part.sum(axis=0) for part in (results.hits, results.objects))
        found["worst_recall"] = intervals.worst_share(hits, support, level)
        return {metric.key: found[metric.key] for metric in self.metrics}

    def uncalibrated(self, results: Found, temperature: float) -> Found:
        return Found(results.targets, rescaled(results.output, 1 / temperature), results.thresholds)

    def reliability(self, results: Found, bins: int) -> tuple[ReliabilityBin, ...]:
        """Whether each box that is more than faint is an object."""
        claimed, right = results.claims
        return reliability(claimed, right, bins) if len(claimed) else ()

    def calibration_error(self, results: Found, bins: int) -> float:
        return float(_calibration(results, np.ones((1, results.samples)), bins)[0])

    def per_class(self, results: Found, classes: Sequence[str]) -> dict[str, dict[str, float]]:
        hits, objects, named = (part.sum(axis=0) for part in (results.hits, results.objects, results.named))
        once = np.ones((1, results.samples))
        found = {}
        for k, name in enumerate(classes):
            precisions = average_precisions(results.of_class(k), once)[0]
            found[name] = {
                "precision": ratio(hits[k], named[k], 0.0),
                "recall": ratio(hits[k], objects[k]),
                "f1": ratio(2 * hits[k], objects[k] + named[k]) if objects[k] else float("nan"),
                "false_positive_rate": (named[k] - hits[k]) / results.samples,
                "average_precision": float(precisions.mean()),
                "average_precision_50": float(precisions[0]),
                "threshold": float(results.thresholds[k]),
                "support": float(objects[k]),
            }
        return found

    def recalls(self, results: Found, classes: Sequence[str], confidence: float) -> list[CohortResult]:
        hits, objects = (part.sum(axis=0) for part in (results.hits, results.objects))
        return [
            CohortResult(
                cohort=CLASS,
                value=name,
                samples=int(objects[k]),
                accuracy=intervals.wilson(int(hits[k]), int(objects[k]), confidence),
            )
            for k, name in enumerate(classes)
            if objects[k]
        ]

    def confusion(self, results: Found) -> tuple[tuple[int, ...], ...]:  # noqa: ARG002
        return ()

    def mistakes(self, results: Found) -> dict[str, npt.NDArray[np.int64]]:
        return mistakes(results)

    def groups(self, results: Found) -> dict[str, npt.NDArray[np.str_]]:
        return groups(results)

    def ranked(self, results: Found) -> npt.NDArray[np.int64]:
        """By the surest box that the label does not know."""
        if results.not_finite:
            return np.zeros(0, np.int64)
        return np.argsort(-results.unknown, kind="stable")

    def suspects(self, results: Found) -> npt.NDArray[np.int64]:
        order = self.ranked(results)
        return order[results.unknown[order] >= _SURE][:MOST_SUSPECTS]


def _drawn(
    results: Found, weights: Floats, config: EvaluationConfig, rng: np.random.Generator | None = None
) -> dict[str, Floats]:
    """The resampled metrics under weights of images [R, N]: [R] each.

    With `rng`, half a miss and half a false alarm a class are drawn, too (Jeffreys' prior), so that an
    interval keeps a width where nothing was wrong.
    """
    shape = len(weights), results.classes
    missed, alarms = (rng.gamma(0.5, size=shape) if rng else np.zeros(shape) for _ in range(2))
    hits, objects, named = (
        weights @ part.astype(np.float64) for part in (results.hits, results.objects, results.named)
    )
    present = results.objects.any(axis=0)
    f1 = 2 * hits / np.maximum(objects + missed + named + alarms, 1e-12)
    nothing = np.full(len(weights), np.nan)
    precisions = [average_precisions(results.of_class(int(k)), weights) for k in np.flatnonzero(present)]
    mean = np.mean(precisions, axis=0) if precisions else np.full((len(weights), 1), np.nan)
    total = (objects + missed).sum(axis=1)
    return {
        "map": mean.mean(axis=1),
        "map50": mean[:, 0],
        "macro_f1": f1[:, present].mean(axis=1) if present.any() else nothing,
        "miss_rate": 1 - hits.sum(axis=1) / total if present.any() else nothing,
        "false_positives": (named - hits + alarms).sum(axis=1) / weights.sum(axis=1),
        "ece": _calibration(results, weights, config.calibration_bins),
    }


def _calibration(results: Found, weights: Floats, bins: int) -> Floats:
    """Mean distance of score and share of objects over equal-mass bins of boxes: [R]; 0 without boxes."""
    claimed, right = results.claims
    if not len(claimed):
        return np.zeros(len(weights))
    which = equal_mass_bins(claimed, bins)
    cells = results.claiming * bins + which
    gaps = np.bincount(cells, claimed - right, minlength=results.samples * bins).reshape(-1, bins)
    boxes = np.bincount(results.claiming, minlength=results.samples).astype(np.float64)
    error: Floats = np.abs(weights @ gaps).sum(axis=1) / np.maximum(weights @ boxes, 1e-12)
    return error


def fit_temperature(claimed: Floats, right: npt.NDArray[np.bool_]) -> float:
    """The temperature of the scores' logits under which being right [D] is likeliest; 1 for no boxes."""
    return binary_temperature(np.log(claimed) - np.log1p(-np.minimum(claimed, 1 - 1e-9)), right)


def _best_threshold(results: Found, k: int) -> float:
    """Of the best F1 at an overlap of 0.5, between two boxes; of equals the nearest to usual."""
    one = results.of_class(k)
    objects = int(one.objects.sum())
    if objects < _ENOUGH or not len(one.score):
        return USUAL
    f1 = 2 * np.cumsum(one.right[0]) / (np.arange(1, len(one.score) + 1) + objects)
    cuts = np.clip((one.score + np.append(one.score[1:], 0.0)) / 2, *_EDGES)
    named = np.searchsorted(-one.score, -cuts, "right")
    f1 = np.where(named > 0, f1[np.maximum(named, 1) - 1], 0.0)
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    return float(cuts[best[np.abs(cuts[best] - USUAL).argmin()]])


SCORE: Score = _Boxes()
