"""From results to the evaluation report. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from linnet.config import DEFAULT_TASK, EvaluationConfig
from linnet.evaluation.cohorts import Strings, cohort_table
from linnet.records import Comparison, EvaluationReport
from linnet.statistics import intervals
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
    recalls = [] if broken else score.recalls(calibrated, classes, config.confidence)
    return EvaluationReport(
        task=task,
        samples=calibrated.samples,
        classes=tuple(classes),
        metrics=unknown if broken else score.intervals(calibrated, config),
        per_class=_blanked(score.per_class(calibrated, classes), broken),
        confusion=score.confusion(calibrated),
        cohorts=() if broken else cohort_table(calibrated.scores, recalls, cohorts, config.confidence),
        temperature=fitted.temperature,
        thresholds=fitted.thresholds,
        ece_before=float("nan") if broken else score.calibration_error(uncalibrated, config.calibration_bins),
        comparison=comparison,
        suspects=tuple(ids[i] for i in score.suspects(calibrated)),
    )


def _blanked(classes: dict[str, dict[str, float]], broken: bool) -> dict[str, dict[str, float]]:
    """Of a broken model nothing but the number of samples is known."""
    if not broken:
        return classes
    return {
        name: {key: value if key == "support" else float("nan") for key, value in row.items()}
        for name, row in classes.items()
    }
