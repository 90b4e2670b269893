"""Accuracy, F1, AUC and calibration of classes that exclude each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from linnet.config import EvaluationConfig
from linnet.records import CohortResult, Interval
from linnet.statistics import intervals
from linnet.statistics.catalog import METRICS, Metric
from linnet.statistics.metrics import (
    Floats,
    Ints,
    Predictions,
    calibration_error,
    false_positive_rates,
    metrics_by_class,
)
from linnet.statistics.reliability import ReliabilityBin, reliability
from linnet.tasks.classification.doubt import label_suspects, rank_by_label_error
from linnet.tasks.score import CLASS, Fitted, Logits, Score, Undivided
from linnet.tasks.target import Targets

_LOWEST, _HIGHEST = 0.05, 20.0
"""Bounds of the temperature; beyond them a network is broken, not merely over- or underconfident."""
_LEAST = 1e-12
"""A probability of 0 has no logit."""
_PRIOR_SPREAD = 1.0
"""Spread of log temperature in the weak prior that keeps the fit finite without validation errors."""


class _OneClass(Undivided):
    metrics: tuple[Metric, ...] = METRICS
    gated: tuple[str, ...] = ("accuracy", "macro_f1", "auc")

    def fit(self, logits: Logits, targets: Targets, classes: int = 0) -> Fitted:  # noqa: ARG002
        return Fitted(fit_temperature(logits, targets))

    def results(self, targets: Targets, logits: Logits, fitted: Fitted) -> Predictions:
        return Predictions(targets, softmax(logits, fitted.temperature))

    def described(
        self,
        targets: Targets,
        output: Floats,
        thresholds: tuple[float, ...],  # noqa: ARG002
    ) -> Predictions:
        return Predictions(targets, output)

    def intervals(self, results: Predictions, config: EvaluationConfig) -> dict[str, Interval]:
        level, resamples = config.confidence, config.resamples
        rng = np.random.default_rng(config.seed)
        found = {
            "accuracy": intervals.wilson(int(results.correct.sum()), results.samples, level),
            "worst_recall": intervals.worst_recall(results.confusion, level),
            "auc": intervals.auc(results, level),
            "ece": intervals.calibration(results, config.calibration_bins, level, resamples, rng),
            **intervals.resampled_class_metrics(results.confusion, level, resamples, rng),
            **intervals.mean_losses(results, level, resamples, rng),
        }
        return {metric.key: found[metric.key] for metric in self.metrics}

    def uncalibrated(self, results: Predictions, temperature: float) -> Predictions:
        logits = np.log(np.maximum(results.probabilities, _LEAST)) * temperature
        return Predictions(results.labels, softmax(logits))

    def reliability(self, results: Predictions, bins: int) -> tuple[ReliabilityBin, ...]:
        """Whether the likeliest class is right."""
        return reliability(results.confidence, results.correct, bins)

    def calibration_error(self, results: Predictions, bins: int) -> float:
        return calibration_error(results, bins)

    def per_class(self, results: Predictions, classes: Sequence[str]) -> dict[str, dict[str, float]]:
        measured = metrics_by_class(results.confusion)
        columns = {
            "precision": measured.precision,
            "recall": measured.recall,
            "f1": measured.f1,
            "false_positive_rate": false_positive_rates(results.confusion),
            "support": results.confusion.sum(axis=1),
        }
        return {
            name: {column: float(values[k]) for column, values in columns.items()}
            for k, name in enumerate(classes)
        }

    def recalls(self, results: Predictions, classes: Sequence[str], confidence: float) -> list[CohortResult]:
        support, hits = results.confusion.sum(axis=1), np.diagonal(results.confusion)
        order = [k for k in np.argsort(np.asarray(classes, np.str_), kind="stable") if support[k]]
        return [
            CohortResult(
                cohort=CLASS,
                value=classes[k],
                samples=int(support[k]),
                accuracy=intervals.wilson(int(hits[k]), int(support[k]), confidence),
            )
            for k in order
        ]

    def confusion(self, results: Predictions) -> tuple[tuple[int, ...], ...]:
        return tuple(tuple(int(n) for n in row) for row in results.confusion)

    def ranked(self, results: Predictions) -> npt.NDArray[np.int64]:
        return rank_by_label_error(results)

    def suspects(self, results: Predictions) -> npt.NDArray[np.int64]:
        return label_suspects(results)


def softmax(logits: Logits, temperature: float = 1.0) -> Floats:
    """Probabilities float64 [N, K] of logits [N, K] divided by a temperature."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def fit_temperature(logits: Logits, labels: Ints) -> float:
    """The temperature that minimizes the negative log-likelihood of `labels` [N] under logits [N, K].

    Guo et al., "On Calibration of Modern Neural Networks" (2017), arXiv 1706.04599. One observation's
    worth of a log-normal prior around 1 is added: without a single error in validation the likelihood
    alone would ask for temperature 0. Returns 1 for no samples, NaN for logits that are not finite.
    """
    if not len(labels):
        return 1.0
    values = logits.astype(np.float64)
    if not np.isfinite(values).all():
        return float("nan")
    own = values[np.arange(len(labels)), labels]

    def slope(log_beta: float) -> float:
        """Derivative of the mean loss in the logarithm of the inverse temperature."""
        beta = float(np.exp(log_beta))
        expected = (softmax(values, 1.0 / beta) * values).sum(axis=1)
        return beta * float((expected - own).mean()) + log_beta / (_PRIOR_SPREAD**2 * len(labels))

    low, high = -np.log(_HIGHEST), -np.log(_LOWEST)
    for _ in range(40):  # bisection to 1e-11: the loss is convex in the inverse temperature
        middle = (low + high) / 2.0
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float(np.exp(-(low + high) / 2.0))


SCORE: Score = _OneClass()
