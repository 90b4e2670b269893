"""Dice, IoU, outlines and the calibration of pixels, with intervals over images.

The score of an image is its mean Dice coefficient over the classes that the truth or the answer has. The
other measures are of the pixels of all images together, a class at a time, averaged over the classes that
the split has; background is none. Their intervals draw whole images: pixels of one are no samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.config import EvaluationConfig
from linnet.records import CohortResult, Interval
from linnet.records.model import MOST_SUSPECTS
from linnet.statistics import intervals
from linnet.statistics.bootstrap import sample_weights
from linnet.statistics.catalog import BY_KEY, Metric
from linnet.statistics.reliability import ReliabilityBin, reliability
from linnet.statistics.spread import spread
from linnet.tasks.classification.score import fit_temperature, softmax
from linnet.tasks.score import CLASS, Fitted, Floats, Logits, Score, Undivided
from linnet.tasks.segmentation.overlap import Maps, shares
from linnet.tasks.segmentation.upsampling import upsampled
from linnet.tasks.target import Targets

_FITTED_PIXELS = 400_000
"""Pixels from which the temperature is fitted, spread over the images."""
_BATCH_VALUES = 1 << 24
"""Values of logits at full size that are held at a time."""
_DOUBTFUL = 0.5
"""Score below which a label is doubtful, if the answer is sure of its pixels."""
_SURE = 0.9


class _Masks(Undivided):
    metrics: tuple[Metric, ...] = tuple(
        BY_KEY[key]
        for key in (
            *("accuracy", "macro_f1", "mean_iou", "macro_precision", "macro_recall", "worst_recall"),
            *("outline_error", "ece"),
        )
    )
    gated: tuple[str, ...] = ("accuracy", "macro_f1", "mean_iou")

    def fit(self, logits: Logits, targets: Targets, classes: int = 0) -> Fitted:  # noqa: ARG002
        """The temperature that makes pixels' probabilities likeliest."""
        if not len(targets) or not np.isfinite(logits).all():
            return Fitted(1.0 if not len(targets) else float("nan"))
        each = max(1, _FITTED_PIXELS // len(targets))
        values, labels = [], []
        for number, (one, truth) in enumerate(zip(logits, targets, strict=True)):
            places = spread(truth.size, each, seed=number)
            full = upsampled(one, *truth.shape).reshape(one.shape[0], -1)
            values.append(full[:, places].T)
            labels.append(truth.ravel()[places].astype(np.int64))
        return Fitted(fit_temperature(np.concatenate(values), np.concatenate(labels)))

    def results(self, targets: Targets, logits: Logits, fitted: Fitted) -> Maps:
        height, width = targets.shape[1:]
        step = max(1, _BATCH_VALUES // max(1, logits.shape[1] * height * width))
        found = np.zeros((len(targets), 2, height, width), np.float32)
        for start in range(0, len(targets), step):
            part = upsampled(logits[start : start + step], height, width)
            chances = softmax(part, fitted.temperature)
            named = part.argmax(axis=1)
            found[start : start + step, 0] = named
            found[start : start + step, 1] = np.take_along_axis(chances, named[:, None], axis=1)[:, 0]
        finite = np.isfinite(logits).all(axis=(1, 2, 3))
        found[~finite] = np.nan
        return Maps(targets, found, logits.shape[1] - 1)

    def described(self, targets: Targets, output: Floats, thresholds: tuple[float, ...]) -> Maps:  # noqa: ARG002
        most = max(int(np.nan_to_num(output[:, 0]).max(initial=0)), int(targets.max(initial=0)), 1)
        return Maps(targets, output, most)

    def intervals(self, results: Maps, config: EvaluationConfig) -> dict[str, Interval]:
        level, rng = config.confidence, np.random.default_rng(config.seed)
        sums = _Sums(results, config.calibration_bins)
        drawn = [sums.drawn(weights) for weights in sample_weights(results.samples, config.resamples, rng)]
        values = {key: float(one[0]) for key, one in sums.drawn(np.ones((1, results.samples))).items()}
        found = {
            key: intervals.around(values[key], np.concatenate([part[key] for part in drawn]), level)
            for key in values
        }
        found["accuracy"] = intervals.wilson(float(results.scores.sum()), results.samples, level)
        return {metric.key: found[metric.key] for metric in self.metrics}

    def uncalibrated(self, results: Maps, temperature: float) -> Maps:
        """As a pixel's probability of one class against the rest: those of the others are not kept."""
        sure = np.clip(results.output[:, 1].astype(np.float64), 1e-12, 1 - 1e-12)
        raw = 1 / (1 + np.exp(-(np.log(sure) - np.log1p(-sure)) * temperature))
        return Maps(results.targets, np.stack([results.output[:, 0], raw], axis=1), results.classes)

    def calibration_error(self, results: Maps, bins: int) -> float:
        return float(np.abs(results.gaps(bins).sum(axis=0)).sum())

    def reliability(self, results: Maps, bins: int) -> tuple[ReliabilityBin, ...]:
        """Whether a pixel is of the class that is answered."""
        sure, right, _ = results.claims()
        return reliability(sure, right, bins)

    def per_class(self, results: Maps, classes: Sequence[str]) -> dict[str, dict[str, float]]:
        """Of pixels; `support` counts the images that have the class."""
        hits, actual, said = (_wide(part, len(classes)).sum(axis=0) for part in _parts(results))
        others = results.targets.size - actual
        there = (_wide(results.actual, len(classes)) > 0).sum(axis=0)
        columns = {
            "precision": shares(hits, said),
            "recall": shares(hits, actual),
            "f1": shares(2 * hits, actual + said),
            "iou": shares(hits, actual + said - hits),
            "false_positive_rate": shares(said - hits, others),
            "support": there,
        }
        return {
            name: {column: float(values[k]) for column, values in columns.items()}
            for k, name in enumerate(classes)
        }

    def recalls(self, results: Maps, classes: Sequence[str], confidence: float) -> list[CohortResult]:
        """The share of a class's pixels that is found in an image, averaged over those that have it."""
        found = _wide(shares(results.hits, results.actual), len(classes), np.nan)
        own = [values[np.isfinite(values)] for values in found.T]
        return [
            CohortResult(
                cohort=CLASS,
                value=name,
                samples=len(values),
                accuracy=intervals.wilson(float(values.sum()), len(values), confidence),
            )
            for name, values in zip(classes, own, strict=True)
            if len(values)
        ]

    def confusion(self, results: Maps) -> tuple[tuple[int, ...], ...]:  # noqa: ARG002  of pixels, not of images
        return ()

    def ranked(self, results: Maps) -> npt.NDArray[np.int64]:
        """By how surely an answer contradicts its label."""
        if results.not_finite:
            return np.zeros(0, np.int64)
        return np.argsort(-(1 - results.scores) * results.confidence, kind="stable")

    def suspects(self, results: Maps) -> npt.NDArray[np.int64]:
        order = self.ranked(results)
        doubtful = (results.scores[order] < _DOUBTFUL) & (results.confidence[order] >= _SURE)
        return order[doubtful][:MOST_SUSPECTS]


class _Sums:
    """What metrics are made of, summed over images by weights."""

    def __init__(self, results: Maps, bins: int) -> None:
        self._hits, self._actual, self._said = (part.astype(np.float64) for part in _parts(results))
        self._present = results.actual.any(axis=0)
        self._gaps, self._outline = results.gaps(bins) * results.samples, results.boundary

    def drawn(self, weights: Floats) -> dict[str, Floats]:
        """Metrics [R] under weights [R, N]."""
        hits, actual, said = (
            weights @ part[:, self._present] for part in (self._hits, self._actual, self._said)
        )
        if not self._present.any():
            nothing = np.full(len(weights), np.nan)
            keys = ("macro_f1", "mean_iou", "macro_precision", "macro_recall", "worst_recall")
            classes = dict.fromkeys(keys, nothing)
        else:
            recall = hits / actual
            precision = np.divide(hits, said, out=np.zeros_like(hits), where=said > 0)
            classes = {
                "macro_f1": (2 * hits / (actual + said)).mean(axis=1),
                "mean_iou": (hits / (actual + said - hits)).mean(axis=1),
                "macro_precision": precision.mean(axis=1),
                "macro_recall": recall.mean(axis=1),
                "worst_recall": recall.min(axis=1),
            }
        total = weights.sum(axis=1)
        return classes | {
            "outline_error": weights @ self._outline / total,
            "ece": np.abs(weights @ self._gaps / total[:, None]).sum(axis=1),
        }


def _parts(results: Maps) -> tuple[npt.NDArray[np.int64], ...]:
    return results.hits, results.actual, results.answered


def _wide(counts: npt.NDArray[Any], classes: int, fill: float = 0) -> npt.NDArray[Any]:
    """Columns for all classes: results that were read from a file know only those that occur."""
    missing = classes - counts.shape[1]
    return np.pad(counts, ((0, 0), (0, max(missing, 0))), constant_values=fill)[:, :classes]


SCORE: Score = _Masks()
