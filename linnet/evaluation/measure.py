"""From results to the evaluation report. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from linnet.config import DEFAULT_TASK, EvaluationConfig
from linnet.evaluation.cohorts import Strings, cohort_table
from linnet.records import Comparison, EvaluationReport, Interval
from linnet.statistics import intervals
from linnet.statistics.bootstrap import sample_weights
from linnet.tasks.score import Fitted, Results, score_of


def measure(
    calibrated: Results,
    uncalibrated: Results,
    ids: Sequence[str],
    classes: Sequence[str],
    cohorts: Mapping[str, Strings],
    fitted: Fitted,
    comparison: Comparison | None,
    config: EvaluationConfig,
    task: str = DEFAULT_TASK,
) -> EvaluationReport:
    """Every metric of the test split with its interval.

    Args:
        calibrated: test predictions after temperature scaling, N samples of K classes.
        uncalibrated: the same samples before.
        ids: sample ids [N].
        classes: names [K].
        cohorts: values [N] by cohort column.
        fitted: what `calibrated` was scaled by, and the thresholds that name classes.
        comparison: with the champion, if there is one.
        config: level, resamples, bins and seed.
        task: what is asked of an image.

    If any probability is not a finite number, no metric is: a model that answers so is broken, and
    the share that it got right does not matter.
    """
    score, broken = score_of(task), calibrated.not_finite > 0
    unknown = {metric.key: intervals.unknown() for metric in score.metrics}
    grouped = {**score.groups(calibrated), **cohorts}
    recalls = [] if broken else score.recalls(calibrated, classes, config.confidence)
    return EvaluationReport(
        task=task,
        samples=calibrated.samples,
        classes=tuple(classes),
        metrics=unknown if broken else score.intervals(calibrated, config),
        per_class=_blanked(score.per_class(calibrated, classes), broken),
        confusion=score.confusion(calibrated),
        cohorts=() if broken else cohort_table(calibrated.scores, recalls, grouped, config.confidence),
        temperature=fitted.temperature,
        thresholds=fitted.thresholds,
        ece_before=float("nan") if broken else score.calibration_error(uncalibrated, config.calibration_bins),
        comparison=comparison,
        mistakes={} if broken else _mistakes(score.mistakes(calibrated), config),
        suspects=tuple(ids[i] for i in score.suspects(calibrated)),
    )


def _mistakes(counts: Mapping[str, npt.NDArray[np.int64]], config: EvaluationConfig) -> dict[str, Interval]:
    """Mistakes a sample by kind, from counts [N], with bootstrap intervals.

    Half a mistake is drawn (Jeffreys' prior), so that an interval keeps a width where none was made.
    """
    rng, found = np.random.default_rng(config.seed), {}
    for kind, count in counts.items():
        weights = np.concatenate(list(sample_weights(len(count), config.resamples, rng)))
        drawn = (weights @ count + rng.gamma(0.5, size=len(weights))) / weights.sum(axis=1)
        found[kind] = intervals.around(float(count.mean()), drawn, config.confidence)
    return found


def _blanked(classes: dict[str, dict[str, float]], broken: bool) -> dict[str, dict[str, float]]:
    """Of a broken model nothing but the number of samples is known."""
    if not broken:
        return classes
    return {
        name: {key: value if key == "support" else float("nan") for key, value in row.items()}
        for name, row in classes.items()
    }
