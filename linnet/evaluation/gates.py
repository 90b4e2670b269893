"""The gates after evaluation: a report and thresholds in, a decision with its reasons out. Pure."""

from __future__ import annotations

from typing import Literal

from linnet.config import EvaluationConfig, GatesConfig
from linnet.records import CohortResult, EvaluationReport, Gate, GateDecision, Interval, RegressionSet
from linnet.statistics.attainable import margin_of
from linnet.tasks.score import CLASS, score_of

Comparator = Literal[">=", "<=", ">", "<"]


def evaluate_gates(
    report: EvaluationReport, config: GatesConfig, confidence: float = EvaluationConfig().confidence
) -> GateDecision:
    """All gates of the evaluation stage; the verdict is `pass` only if every one passes.

    A value that is not a number passes nothing. Without a champion there is no `non_inferiority` and no
    `regression` gate (absent, not passed). `confidence` is the level of the report's intervals.
    """
    gates = [
        *_lower_bounds(report, config, ("accuracy", "macro_f1", "micro_f1", "map", "map50", "mean_iou")),
        *_upper_bounds(report, config),
        _worst_recall(report, config),
        *_lower_bounds(report, config, ("auc",)),
        _calibration(report, config.max_ece),
        _cohort_gap(report, config),
    ]
    return _decision([*gates, *_champion_gates(report, config, confidence)])


def evaluate_champion_gates(report: EvaluationReport, config: GatesConfig, confidence: float) -> GateDecision:
    """Those gates alone that hold the candidate against the champion that the report compares with."""
    return _decision(_champion_gates(report, config, confidence))


def _champion_gates(report: EvaluationReport, config: GatesConfig, confidence: float) -> list[Gate]:
    own = [] if report.comparison is None else [_non_inferiority(report, config, confidence)]
    return own + [_regression(found, config, confidence) for found in report.regressions if found.comparison]


def _decision(gates: list[Gate]) -> GateDecision:
    passed = all(gate.passed for gate in gates)
    return GateDecision(stage="evaluation", verdict="pass" if passed else "fail", gates=tuple(gates))


def _gate(name: str, value: float, comparator: Comparator, threshold: float, evidence: str) -> Gate:
    """Compares as IEEE does, where every comparison with NaN is false."""
    passed = {
        ">=": value >= threshold,
        "<=": value <= threshold,
        ">": value > threshold,
        "<": value < threshold,
    }[comparator]
    if value != value:
        evidence += "; what could not be measured does not pass"
    return Gate(
        name=name, value=value, comparator=comparator, threshold=threshold, passed=passed, evidence=evidence
    )


_WORDS = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "map": "mean average precision",
    "map50": "mean average precision at an overlap of 50 %",
    "miss_rate": "the miss rate",
    "false_positives": "the number of false positives an image",
    "mean_iou": "mean IoU",
    "auc": "macro one-against-rest AUC",
}


def _lower_bounds(report: EvaluationReport, config: GatesConfig, names: tuple[str, ...]) -> list[Gate]:
    """The gates on lower bounds that the report's task has."""
    gated = score_of(report.task).gated
    return [
        _lower_bound(name, _WORDS[name], report, getattr(config, f"min_{name}"))
        for name in names
        if name in gated
    ]


def _lower_bound(name: str, words: str, report: EvaluationReport, threshold: float) -> Gate:
    measured = report.metrics[name]
    reaches = "reaches" if measured.low >= threshold else "does not reach"
    evidence = (
        f"{words} is {show(measured)} on {report.samples:,} test samples; its lower bound "
        f"{measured.low:.4f} {reaches} {threshold:.4f}"
    )
    return _gate(name, measured.low, ">=", threshold, evidence)


def _upper_bounds(report: EvaluationReport, config: GatesConfig) -> list[Gate]:
    """The gates on upper bounds that the report's task has."""
    return [
        _upper_bound(name, report, getattr(config, f"max_{name}"))
        for name in ("miss_rate", "false_positives")
        if name in report.metrics
    ]


def _upper_bound(name: str, report: EvaluationReport, threshold: float) -> Gate:
    measured = report.metrics[name]
    evidence = (
        f"{_WORDS[name]} is {show(measured)} on {report.samples:,} test samples; its upper bound may be "
        f"at most {threshold:.4f}"
    )
    return _gate(name, measured.high, "<=", threshold, evidence)


def _worst_recall(report: EvaluationReport, config: GatesConfig) -> Gate:
    """Fails if a class has no test sample, unless the config says that nobody judges it."""
    threshold = config.min_worst_recall
    empty = [name for name in report.classes if report.per_class[name]["support"] == 0]
    absent = [name for name in empty if name not in config.unjudged_classes]
    measured = report.metrics["worst_recall"]
    if absent:
        names = ", ".join(absent[:5]) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
        evidence = f"the recall of {names} is unknown: the test split has no sample of it"
        return _gate("worst_recall", float("nan"), ">=", threshold, evidence)
    if measured.value != measured.value:
        return _gate("worst_recall", measured.value, ">=", threshold, "the recalls are not numbers")
    recalls = {name: values["recall"] for name, values in report.per_class.items() if name not in empty}
    worst = min(recalls, key=lambda name: recalls[name])
    evidence = (
        f"the worst class is {worst} with recall {show(measured)} over "
        f"{int(report.per_class[worst]['support']):,} samples; at least {threshold:.4f} is asked"
    )
    if empty:
        evidence += f"; {', '.join(empty)} is not judged: no test sample (gates.unjudged_classes)"
    return _gate("worst_recall", measured.value, ">=", threshold, evidence)


def _calibration(report: EvaluationReport, threshold: float) -> Gate:
    measured = report.metrics["ece"]
    evidence = (
        f"expected calibration error is {show(measured)} at temperature {report.temperature:.3f} "
        f"({report.ece_before:.4f} before); at most {threshold:.4f} is allowed"
    )
    return _gate("ece", measured.value, "<=", threshold, evidence)


def judged_cohorts(report: EvaluationReport, smallest: int) -> list[CohortResult]:
    """Cohorts large enough to be judged: `smallest` samples, or as many as the largest has if none do.

    The true class is left out: `worst_recall` judges it.
    """
    rows = [row for row in report.cohorts if row.cohort != CLASS]
    floor = min(smallest, max((row.samples for row in rows), default=0))
    return [row for row in rows if row.samples >= floor]


def _cohort_gap(report: EvaluationReport, config: GatesConfig) -> Gate:
    overall = report.metrics["accuracy"].value
    rows = judged_cohorts(report, config.min_cohort_samples)
    if not rows or overall != overall:
        evidence = "no cohort could be judged" if not rows else "the overall accuracy is not a number"
        return _gate("cohort_gap", float("nan"), "<=", config.max_cohort_gap, evidence)
    worst = min(rows, key=lambda row: row.accuracy.value)
    gap = overall - worst.accuracy.value
    evidence = (
        f"the worst of {len(rows)} judged cohorts is {worst.cohort} = {worst.value} with accuracy "
        f"{show(worst.accuracy)} over {worst.samples:,} samples, {abs(gap):.4f} "
        f"{'below' if gap >= 0 else 'above'} the whole; at most {config.max_cohort_gap:.4f} below is allowed"
    )
    return _gate("cohort_gap", gap, "<=", config.max_cohort_gap, evidence)


def _non_inferiority(report: EvaluationReport, config: GatesConfig, confidence: float) -> Gate:
    comparison = report.comparison
    assert comparison is not None
    margin = margin_of(config, report.samples, confidence)
    difference = comparison.difference
    evidence = (
        f"accuracy differs from champion {comparison.champion} by {difference.value:+.4f} "
        f"[{difference.low:+.4f}, {difference.high:+.4f}] on the same {report.samples:,} samples "
        f"({comparison.candidate_only_right:,} only the candidate had right, "
        f"{comparison.champion_only_right:,} only the champion); the lower bound must lie above "
        f"{-margin:+.4f}"
    )
    if config.non_inferiority_margin == "auto":
        evidence += f", the least that {report.samples:,} samples can show"
    return _gate("non_inferiority", difference.low, ">", -margin, evidence)


def _regression(found: RegressionSet, config: GatesConfig, confidence: float) -> Gate:
    """Refuses a candidate that is proven to have lost what an earlier one was taught by production.

    The bound is the upper one: a window is small, and many of them are asked, so that a candidate that is as
    good as the champion must not fail by chance. What all windows show together is one more set.
    """
    comparison, champion = found.comparison, found.champion_accuracy
    assert comparison is not None and champion is not None
    margin = margin_of(config, found.samples, confidence)
    difference = comparison.difference
    evidence = (
        f"regression set {found.name} ({found.samples:,} samples): champion {comparison.champion} "
        f"{champion.value:.4f}, candidate {found.accuracy.value:.4f}; the difference is "
        f"{difference.value:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}], and one that is proven to "
        f'lie below {-margin:+.4f} is refused (data.windows = "train" trains on the window)'
    )
    return _gate(f"regression {found.name}", difference.high, ">=", -margin, evidence)


def show(measured: Interval) -> str:
    """An interval in text, such as `0.9312 [0.9261, 0.9360]`."""
    return f"{measured.value:.4f} [{measured.low:.4f}, {measured.high:.4f}]"
