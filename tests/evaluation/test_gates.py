"""Gates decide on bounds, pass at the threshold exactly, and never let NaN through."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pytest

from linnet.config import EvaluationConfig, GatesConfig
from linnet.evaluation.compare import compare_to_champion
from linnet.evaluation.gates import evaluate_gates
from linnet.evaluation.measure import measure
from linnet.records import EvaluationReport, Gate, Interval
from linnet.statistics.metrics import Predictions
from linnet.tasks.score import Fitted
from tests.evaluation.samples import predictions

NAN = float("nan")


def report_of(made: Predictions, cohorts: dict[str, list[str]] | None = None) -> EvaluationReport:
    columns = {name: np.array(values) for name, values in (cohorts or {}).items()}
    columns = columns or {"brightness": np.array(["dark", "bright"])[np.arange(made.samples) % 2]}
    ids = [str(i) for i in range(made.samples)]
    names = [f"c{k}" for k in range(made.classes)]
    return measure(made, made, ids, names, columns, Fitted(1.0), None, EvaluationConfig(resamples=100))


def gate(report: EvaluationReport, name: str, config: GatesConfig | None = None) -> Gate:
    return next(one for one in evaluate_gates(report, config or GatesConfig()).gates if one.name == name)


@pytest.fixture(scope="module")
def good() -> EvaluationReport:
    return report_of(predictions(strength=4.0))


def test_good_model_passes_and_comparison_is_absent(good: EvaluationReport) -> None:
    decision = evaluate_gates(good, GatesConfig(max_ece=1.0))
    assert decision.verdict == "pass" and decision.reasons == []
    assert "non_inferiority" not in {one.name for one in decision.gates}


def test_random_model_fails_with_its_reasons() -> None:
    decision = evaluate_gates(report_of(predictions(strength=0.0)), GatesConfig())
    assert decision.verdict == "fail"
    failed = {one.name for one in decision.gates if not one.passed}
    assert {"accuracy", "macro_f1", "worst_recall", "auc"} <= failed
    assert any("accuracy is 0.2" in reason and "does not reach 0.8" in reason for reason in decision.reasons)


@pytest.mark.parametrize(
    ("name", "field"), [("accuracy", "min_accuracy"), ("macro_f1", "min_macro_f1"), ("auc", "min_auc")]
)
def test_lower_bound_at_the_threshold_passes_and_just_below_fails(
    good: EvaluationReport, name: str, field: str
) -> None:
    bound = good.metrics[name].low
    assert gate(good, name, GatesConfig(**{field: bound})).passed
    assert not gate(good, name, GatesConfig(**{field: float(np.nextafter(bound, 2))})).passed


def test_ece_at_the_threshold_passes_and_just_above_fails(good: EvaluationReport) -> None:
    value = good.metrics["ece"].value
    assert gate(good, "ece", GatesConfig(max_ece=value)).passed
    assert not gate(good, "ece", GatesConfig(max_ece=float(np.nextafter(value, 0)))).passed


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1", "auc", "ece", "worst_recall"])
def test_nan_passes_no_gate_however_loose(good: EvaluationReport, metric: str) -> None:
    broken = good.model_copy(
        update={"metrics": good.metrics | {metric: Interval(value=NAN, low=NAN, high=NAN)}}
    )
    loose = GatesConfig(
        min_accuracy=0, min_macro_f1=0, min_worst_recall=0, min_auc=0, max_ece=1, max_cohort_gap=1
    )
    assert evaluate_gates(good, loose).verdict == "pass"
    assert evaluate_gates(broken, loose).verdict == "fail"
    assert not gate(broken, metric, loose).passed


def test_one_nan_probability_fails_every_gate() -> None:
    made = predictions(strength=4.0)
    made.probabilities[7, 2] = NAN
    decision = evaluate_gates(report_of(made), GatesConfig())
    assert decision.verdict == "fail" and not any(one.passed for one in decision.gates)
    assert len(decision.gates) == 6


def test_class_absent_from_the_test_split_fails_worst_recall_by_name() -> None:
    made = predictions(strength=4.0)
    keep = made.labels != 2
    found = gate(report_of(Predictions(made.labels[keep], made.probabilities[keep])), "worst_recall")
    assert not found.passed and "c2" in found.evidence and "no sample" in found.evidence


def test_single_wrong_sample_does_not_make_a_cohort_gap() -> None:
    made = predictions(400, strength=4.0)
    wrong = int(np.flatnonzero(~made.correct)[0])
    values = ["many"] * 400
    values[wrong] = "one"
    report = report_of(made, {"shop": values})
    assert gate(report, "cohort_gap").passed
    assert not gate(report, "cohort_gap", GatesConfig(min_cohort_samples=1)).passed


def test_bad_cohort_of_enough_samples_fails_the_gap_and_is_named() -> None:
    made = predictions(400, strength=4.0)
    made.probabilities[:40] = np.roll(made.probabilities[:40], 1, axis=1)
    found = gate(report_of(made, {"shop": ["north"] * 40 + ["south"] * 360}), "cohort_gap")
    assert not found.passed and "shop = north" in found.evidence


def test_small_cohorts_are_judged_when_there_are_no_larger_ones() -> None:
    made = predictions(20, strength=9.0)
    made.probabilities[:10] = np.roll(made.probabilities[:10], 1, axis=1)
    assert not gate(report_of(made, {"shop": ["north"] * 10 + ["south"] * 10}), "cohort_gap").passed


def test_non_inferiority_asks_for_a_bound_strictly_above_the_margin(good: EvaluationReport) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, good.samples)
    worse = np.where(rng.random(good.samples) < 0.1, (labels + 1) % 4, labels)
    comparison = compare_to_champion((worse == labels) * 1.0, np.ones(len(labels)), 0.5, "7", 0.95)
    report = good.model_copy(update={"comparison": comparison})
    found = gate(report, "non_inferiority")
    assert not found.passed and "champion 7" in found.evidence
    edge = GatesConfig(non_inferiority_margin=-comparison.difference.low)
    assert not gate(report, "non_inferiority", edge).passed
    wider = GatesConfig(non_inferiority_margin=float(np.nextafter(-comparison.difference.low, 1)))
    assert gate(report, "non_inferiority", wider).passed


def test_report_with_nan_survives_its_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    made = predictions()
    made.probabilities[0, 0] = NAN
    report_of(made).save(tmp_path / "evaluation.json")
    assert np.isnan(EvaluationReport.load(tmp_path / "evaluation.json").metrics["accuracy"].value)


@pytest.mark.parametrize("comparator", [">=", "<=", ">", "<"])
@pytest.mark.parametrize("value", [0.5, 0.75, 1.0])
def test_gate_reads_as_what_is_true(comparator: Any, value: float) -> None:
    threshold = 0.75
    true = {"≥": operator.ge, "<": operator.lt, "≤": operator.le, ">": operator.gt}
    passed = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}[comparator](
        value, threshold
    )
    gate = Gate(name="x", value=value, comparator=comparator, threshold=threshold, passed=passed, evidence="")
    assert true[gate.relation](value, threshold)
