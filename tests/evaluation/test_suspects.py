"""Label suspects: planted label errors are found, and clean labels are left alone."""

from __future__ import annotations

import numpy as np

from linnet.evaluation.metrics import Predictions
from linnet.evaluation.suspects import label_suspects, normalized_margin
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


def test_perfect_predictions_have_no_suspects() -> None:
    labels = np.arange(40) % 4
    assert len(label_suspects(Predictions(labels, np.eye(4)[labels] * 0.96 + 0.01))) == 0


def test_class_without_samples_makes_no_suspect() -> None:
    labels = np.zeros(10, np.int64)
    assert len(label_suspects(Predictions(labels, np.tile([0.4, 0.6], (10, 1))))) == 0


def test_nan_makes_no_suspects() -> None:
    made = predictions(40)
    made.probabilities[3] = np.nan
    assert len(label_suspects(made)) == 0
