"""Intervals hold what they promise: their coverage is simulated, and their edges are checked."""

from __future__ import annotations

import numpy as np
import pytest

from linnet.config import EvaluationConfig
from linnet.statistics import intervals
from linnet.statistics.catalog import METRICS
from linnet.statistics.metrics import (
    Predictions,
    brier_scores,
    log_losses,
    macro_auc,
    metrics_by_class,
)
from linnet.tasks.classification.score import SCORE, softmax
from tests.evaluation.samples import logits_for, predictions


def test_wilson_matches_published_values() -> None:
    one = intervals.wilson(15, 148, 0.95)  # Newcombe, Statistics in Medicine 17 (1998), example
    assert (round(one.low, 4), round(one.high, 4)) == (0.0624, 0.1605)


@pytest.mark.parametrize("make", [intervals.wilson, intervals.clopper_pearson])
def test_proportion_at_its_ends_stays_within_bounds(make) -> None:  # type: ignore[no-untyped-def]
    assert make(0, 10, 0.95).low == 0.0 < make(0, 10, 0.95).high < 1.0
    assert make(10, 10, 0.95).high == 1.0 > make(10, 10, 0.95).low > 0.0
    assert np.isnan(make(0, 0, 0.95).low)


def test_clopper_pearson_of_no_failure_is_the_closed_form() -> None:
    assert intervals.clopper_pearson(20, 20, 0.95).low == pytest.approx(0.025 ** (1 / 20))


def test_perfect_predictions_keep_a_width() -> None:
    labels = np.arange(40) % 4
    perfect = Predictions(labels, np.eye(4)[labels] * 0.96 + 0.01)
    found = SCORE.intervals(perfect, EvaluationConfig())
    for name in ("accuracy", "macro_f1", "macro_precision", "macro_recall", "worst_recall", "auc"):
        assert found[name].value == 1.0
        assert 0.5 < found[name].low < 0.995, name


def test_every_interval_holds_its_value_and_repeats() -> None:
    made = predictions(strength=1.5)
    first, second = (SCORE.intervals(made, EvaluationConfig()) for _ in range(2))
    assert first == second and list(first) == [metric.key for metric in METRICS]
    assert all(one.low <= one.value <= one.high for one in first.values())


def test_coverage_of_every_interval_is_as_promised() -> None:
    rng = np.random.default_rng(1)
    classes, strength, level = 3, 1.5, 0.9
    many = np.arange(150_000) % classes
    truth = Predictions(many, softmax(logits_for(many, classes, rng, strength)))
    by_class = metrics_by_class(truth.confusion)
    true = {
        "accuracy": truth.correct.mean(),
        "macro_f1": by_class.macro(by_class.f1),
        "macro_precision": by_class.macro(by_class.precision),
        "macro_recall": by_class.macro(by_class.recall),
        "worst_recall": by_class.worst_recall,
        "auc": macro_auc(truth),
        "brier": brier_scores(truth).mean(),
        "log_loss": log_losses(truth).mean(),
    }
    held = dict.fromkeys(true, 0)
    runs = 250
    config = EvaluationConfig(confidence=level, resamples=200)
    for start in range(0, runs * 150, 150):
        part = slice(start, start + 150)
        found = SCORE.intervals(Predictions(truth.labels[part], truth.probabilities[part]), config)
        for name, value in true.items():
            held[name] += found[name].low <= value <= found[name].high
    shares = {name: count / runs for name, count in held.items()}
    assert all(share > level - 0.06 for share in shares.values()), shares
    # A uselessly wide interval would also "cover"; only the deliberately wide one may reach 100 %.
    assert all(share < 0.985 for name, share in shares.items() if name != "worst_recall"), shares


def test_calibration_error_of_a_calibrated_model_may_be_zero_and_of_a_boaster_not() -> None:
    rng = np.random.default_rng(2)
    labels = np.arange(2000) % 3
    logits = logits_for(labels, 3, rng, 1.5)
    honest = Predictions(labels, softmax(1.5 * logits))  # the likelihood ratio of unit normal noise
    boaster = Predictions(labels, softmax(6.0 * logits))
    args = (15, 0.95, 300, rng)
    assert intervals.calibration(honest, *args).low == 0.0
    found = intervals.calibration(boaster, *args)
    assert 0.0 < found.low < found.value < found.high


def test_worst_recall_lies_between_simultaneous_bounds() -> None:
    confusion = np.array([[90, 10], [30, 70]])
    one = intervals.worst_recall(confusion, 0.95)
    alone = intervals.clopper_pearson(70, 100, 0.95)
    assert one.value == 0.7 and one.low < alone.low and one.high > alone.high


def test_intervals_of_ten_thousand_samples_take_seconds_not_minutes() -> None:
    import time

    made = predictions(10_000, classes=10)
    started = time.process_time()
    SCORE.intervals(made, EvaluationConfig(resamples=1000))
    assert time.process_time() - started < 3.0
