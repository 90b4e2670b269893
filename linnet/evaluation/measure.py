"""From predictions to the evaluation report: which metric gets which interval. Pure."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np

from linnet.config import EvaluationConfig
from linnet.evaluation.cohorts import Strings, cohort_table
from linnet.evaluation.label_issues import label_suspects
from linnet.records import Comparison, EvaluationReport, Interval
from linnet.statistics import intervals
from linnet.statistics.catalog import BY_KEY
from linnet.statistics.metrics import (
    Predictions,
    calibration_error,
    false_positive_rates,
    metrics_by_class,
)


def measure(
    calibrated: Predictions,
    uncalibrated: Predictions,
    ids: Sequence[str],
    classes: Sequence[str],
    cohorts: Mapping[str, Strings],
    temperature: float,
    comparison: Comparison | None,
    config: EvaluationConfig,
) -> EvaluationReport:
    """Every metric of the test split with its interval.

    Args:
        calibrated: test predictions after temperature scaling, N samples of K classes.
        uncalibrated: the same samples before.
        ids: sample ids [N].
        classes: names [K].
        cohorts: values [N] by cohort column.
        temperature: what `calibrated` was scaled by.
        comparison: with the champion, if there is one.
        config: level, resamples, bins and seed.

    If any probability is not a finite number, no metric is: a model that answers so is broken, and
    the share that it got right does not matter.
    """
    broken = calibrated.not_finite > 0
    return EvaluationReport(
        samples=calibrated.samples,
        classes=tuple(classes),
        metrics=dict.fromkeys(BY_KEY, intervals.unknown()) if broken else all_metrics(calibrated, config),
        per_class=_per_class(calibrated, classes, broken),
        confusion=tuple(tuple(int(n) for n in row) for row in calibrated.confusion),
        cohorts=() if broken else cohort_table(calibrated, classes, cohorts, config.confidence),
        temperature=temperature,
        ece_before=float("nan") if broken else calibration_error(uncalibrated, config.calibration_bins),
        comparison=comparison,
        suspects=tuple(ids[i] for i in label_suspects(calibrated)),
        test_digest=_digest(ids, [classes[k] for k in calibrated.labels.tolist()]),
    )


def _digest(ids: Sequence[str], labels: Sequence[str]) -> str:
    """32 hex digits over the samples with their labels, in whatever order they come."""
    rows = sorted(zip(ids, labels, strict=True))
    return hashlib.blake2b(json.dumps(rows).encode(), digest_size=16).hexdigest()


def all_metrics(predictions: Predictions, config: EvaluationConfig) -> dict[str, Interval]:
    """Each of `linnet.statistics.catalog` by its key, in that order."""
    level, resamples = config.confidence, config.resamples
    rng = np.random.default_rng(config.seed)
    found = {
        "accuracy": intervals.wilson(int(predictions.correct.sum()), predictions.samples, level),
        "worst_recall": intervals.worst_recall(predictions.confusion, level),
        "auc": intervals.auc(predictions, level),
        "ece": intervals.calibration(predictions, config.calibration_bins, level, resamples, rng),
        **intervals.resampled_class_metrics(predictions.confusion, level, resamples, rng),
        **intervals.mean_losses(predictions, level, resamples, rng),
    }
    return {key: found[key] for key in BY_KEY}


def _per_class(predictions: Predictions, classes: Sequence[str], broken: bool) -> dict[str, dict[str, float]]:
    measured = metrics_by_class(predictions.confusion)
    columns = {
        "precision": measured.precision,
        "recall": measured.recall,
        "f1": measured.f1,
        "false_positive_rate": false_positive_rates(predictions.confusion),
    }
    support = predictions.confusion.sum(axis=1)
    return {
        name: {column: float("nan") if broken else float(values[k]) for column, values in columns.items()}
        | {"support": float(support[k])}
        for k, name in enumerate(classes)
    }
