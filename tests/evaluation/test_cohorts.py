"""The cohort table shows the surely bad first and does not cry wolf."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from linnet.evaluation.cohorts import cohort_table, comparison_note, stands_out
from linnet.records import CohortResult
from linnet.statistics.metrics import Predictions
from linnet.tasks.classification.score import SCORE
from tests.evaluation.samples import predictions

NAMES = ("a", "b", "c", "d")


def table(made: Predictions, cohorts: dict[str, Any]) -> tuple[CohortResult, ...]:
    return cohort_table(made.scores, SCORE.recalls(made, NAMES, 0.95), cohorts, 0.95)


def spoiled() -> tuple[Predictions, np.ndarray]:
    """Four hundred samples; the first 60 are mostly wrong, and so is the last one."""
    made = predictions(400, strength=5.0)
    for rows in (slice(0, 60), slice(399, 400)):
        made.probabilities[rows] = np.roll(made.probabilities[rows], 1, axis=1)
    return made, np.array(["bad"] * 60 + ["fine"] * 339 + ["one"])


def test_surely_bad_cohort_stands_above_a_single_wrong_sample() -> None:
    made, values = spoiled()
    rows = [row for row in table(made, {"shop": values}) if row.cohort == "shop"]
    assert [row.value for row in rows] == ["bad", "one", "fine"]
    assert [row.samples for row in rows] == [60, 1, 339]
    assert rows[1].accuracy.value == 0.0 and rows[1].accuracy.high > 0.7


def test_class_rows_carry_the_recall() -> None:
    made = predictions(400, strength=1.0)
    rows = {row.value: row for row in table(made, {})}
    recall = np.diagonal(made.confusion) / made.confusion.sum(axis=1)
    assert [rows[name].accuracy.value for name in NAMES] == pytest.approx(recall.tolist())


def test_only_the_surely_bad_cohort_stands_out() -> None:
    made, values = spoiled()
    rows = table(made, {"shop": values})
    overall = float(made.correct.mean())
    assert {row.value for row in rows if stands_out(row, len(rows), overall, 0.95)} == {"bad"}


def test_chance_alone_rarely_makes_any_of_many_cohorts_stand_out() -> None:
    rng = np.random.default_rng(0)
    alarms = 0
    for seed in range(60):
        made = predictions(2000, strength=2.0, seed=seed)
        values = rng.integers(0, 20, 2000).astype(str)
        rows = [
            row
            for row in cohort_table(made.scores, SCORE.recalls(made, NAMES, 0.95), {"x": values}, 0.95)
            if row.cohort == "x"
        ]
        overall = float(made.correct.mean())
        alarms += any(stands_out(row, len(rows), overall, 0.95) for row in rows)
    assert alarms <= 6


def test_cohort_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="cohort shop"):
        cohort_table(predictions(40).scores, [], {"shop": np.array(["x"])}, 0.95)


def test_note_says_how_many_intervals_miss_by_chance() -> None:
    assert comparison_note(40, 0.95).startswith("40 intervals at 95% each: about 2.0")
