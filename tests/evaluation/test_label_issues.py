"""Label suspects: planted label errors are found, and clean labels are left alone."""

from __future__ import annotations

import numpy as np
import pytest

from linnet.statistics.metrics import Predictions
from linnet.tasks.classification.doubt import label_suspects, normalized_margin, rank_by_label_error
from tests.evaluation.samples import predictions


def test_planted_label_errors_come_first() -> None:
    clean = predictions(1000, strength=6.0)
    planted = np.arange(0, 1000, 50)
    labels = clean.labels.copy()
    labels[planted] = (labels[planted] + 1) % 4
    found = label_suspects(Predictions(labels, clean.probabilities))
    # By definition only samples at least averagely sure are called, so not every planted error is.
    assert len(found) >= len(planted) // 2
    assert set(found) <= set(planted)
    assert 0 not in label_suspects(clean)


def test_suspects_are_sorted_by_margin_and_limited() -> None:
    made = predictions(600, strength=1.0)
    found = label_suspects(made, limit=10)
    margins = normalized_margin(made)[found]
    assert len(found) == 10 and (np.diff(margins) >= 0).all() and (margins < 0).all()


def test_doubt_ranks_all_samples_and_impossible_labels_before_unlikely_ones() -> None:
    said = np.array([[0.9989, 1e-3, 1e-4], [0.9989, 1e-4, 1e-3], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]])
    made = Predictions(np.array([1, 1, 1, 0]), said)
    assert rank_by_label_error(made).tolist() == [1, 0, 3, 2]
    assert normalized_margin(made)[0] == pytest.approx(normalized_margin(made)[1], abs=1e-3)


def test_doubt_survives_a_probability_of_zero() -> None:
    made = Predictions(np.array([0, 1]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert rank_by_label_error(made).tolist() == [1, 0]


def test_perfect_predictions_have_no_suspects() -> None:
    labels = np.arange(40) % 4
    assert len(label_suspects(Predictions(labels, np.eye(4)[labels] * 0.96 + 0.01))) == 0


def test_class_without_samples_makes_no_suspect() -> None:
    labels = np.zeros(10, np.int64)
    assert len(label_suspects(Predictions(labels, np.tile([0.4, 0.6], (10, 1))))) == 0


def test_nan_makes_no_suspects() -> None:
    made = predictions(40)
    made.probabilities[3] = np.nan
    assert len(label_suspects(made)) == 0 and len(rank_by_label_error(made)) == 0
