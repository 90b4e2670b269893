"""Metrics equal scikit-learn's where it has them, and say NaN where nothing can be known."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics as reference
from sklearn.calibration import calibration_curve

from linnet.statistics import metrics
from linnet.statistics.metrics import Predictions
from linnet.statistics.reliability import reliability
from tests.evaluation.samples import predictions

KINDS = ("plain", "ties", "absent", "two")


def make(kind: str) -> Predictions:
    if kind == "two":
        return predictions(301, classes=2, strength=1.0)
    made = predictions(500, classes=5, strength=1.2)
    if kind == "ties":  # probabilities on a coarse grid: hundreds of equal scores
        coarse = np.round(made.probabilities * 8) + 0.001
        return Predictions(made.labels, coarse / coarse.sum(axis=1, keepdims=True))
    if kind == "absent":
        keep = made.labels != 3
        return Predictions(made.labels[keep], made.probabilities[keep])
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_class_metrics_equal_scikit_learn(kind: str) -> None:
    made = make(kind)
    found = metrics.metrics_by_class(made.confusion)
    present = np.unique(made.labels)
    expected = reference.precision_recall_fscore_support(
        made.labels, made.predicted, labels=present, zero_division=0
    )
    for ours, theirs in zip((found.precision, found.recall, found.f1), expected, strict=False):
        assert np.allclose(ours[present], theirs, atol=1e-12)
        assert found.macro(ours) == pytest.approx(np.mean(theirs))
    assert made.correct.mean() == reference.accuracy_score(made.labels, made.predicted)
    assert found.worst_recall == pytest.approx(expected[1].min())
    assert np.array_equal(
        made.confusion, reference.confusion_matrix(made.labels, made.predicted, labels=range(made.classes))
    )


@pytest.mark.parametrize("kind", KINDS)
def test_losses_equal_scikit_learn(kind: str) -> None:
    made = make(kind)
    labels = list(range(made.classes))
    assert metrics.log_losses(made).mean() == pytest.approx(
        reference.log_loss(made.labels, made.probabilities, labels=labels)
    )
    assert metrics.brier_scores(made).mean() == pytest.approx(
        reference.brier_score_loss(made.labels, made.probabilities, labels=labels, scale_by_half=False)
    )


@pytest.mark.parametrize("kind", ["plain", "ties", "two"])
def test_auc_equals_scikit_learn(kind: str) -> None:
    made = make(kind)
    scores = made.probabilities[:, 1] if made.classes == 2 else made.probabilities
    assert metrics.macro_auc(made) == pytest.approx(
        reference.roc_auc_score(made.labels, scores, multi_class="ovr"), abs=1e-12
    )


def test_auc_without_a_class_is_the_mean_over_the_others() -> None:
    made = make("absent")
    each = [reference.roc_auc_score(made.labels == k, made.probabilities[:, k]) for k in range(5) if k != 3]
    assert metrics.macro_auc(made) == pytest.approx(np.mean(each))


def test_auc_of_a_single_class_is_not_a_number() -> None:
    assert np.isnan(metrics.macro_auc(Predictions(np.zeros(3, np.int64), np.full((3, 2), 0.5))))


def test_calibration_error_equals_the_curve_of_scikit_learn() -> None:
    made = predictions(997, strength=1.0)
    right, sure = calibration_curve(made.correct, made.confidence, n_bins=10, strategy="quantile")
    found = reliability(made.confidence, made.correct, 10)
    assert np.allclose([one.accuracy for one in found], right)
    assert np.allclose([one.confidence for one in found], sure)
    weights = np.array([one.samples for one in found]) / made.samples
    assert metrics.calibration_error(made, 10) == pytest.approx((weights * np.abs(right - sure)).sum())


def test_equal_confidences_share_a_bin_in_any_order() -> None:
    confidence = np.array([0.5] * 6 + [0.9] * 6)
    bins = metrics.equal_mass_bins(confidence, 5)
    assert len(set(bins[:6])) == 1 and len(set(bins[6:])) == 1
    assert np.array_equal(metrics.equal_mass_bins(confidence[::-1], 5), bins[::-1])


def test_false_positive_rate_counts_samples_of_other_classes() -> None:
    rates = metrics.false_positive_rates(np.array([[8, 2], [5, 15]]))
    assert rates.tolist() == [0.25, 0.2]


def test_absent_class_has_no_recall_and_stays_out_of_the_mean() -> None:
    found = metrics.metrics_by_class(np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]]))
    assert np.isnan(found.recall[2]) and found.precision[2] == 0.0
    assert found.macro(found.recall) == pytest.approx((0.75 + 1.0) / 2)


@pytest.mark.parametrize("labels", [[0, 1, 5], [0, -1, 1], [0, 1]])
def test_labels_that_do_not_fit_are_refused(labels: list[int]) -> None:
    with pytest.raises(ValueError, match="labels"):
        Predictions(np.array(labels), np.full((3, 2), 0.5))
