"""Temperature scaling finds the temperature that was put in, and stays finite."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from linnet.statistics.metrics import Predictions, log_losses
from linnet.statistics.reliability import reliability
from linnet.tasks.classification.score import fit_temperature, softmax
from tests.evaluation.samples import logits_for, predictions


@pytest.mark.parametrize("true", [0.4, 1.0, 3.0])
def test_temperature_that_was_put_in_is_found(true: float) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(20_000) % 4
    logits = 1.5 * logits_for(labels, 4, rng, 1.5)  # calibrated: the likelihood ratio of the noise
    assert fit_temperature(logits * true, labels) == pytest.approx(true, rel=0.05)


def test_temperature_minimizes_the_likelihood_of_validation() -> None:
    rng = np.random.default_rng(1)
    labels = np.arange(3000) % 5
    logits = logits_for(labels, 5, rng, 2.0)

    def loss(temperature: float) -> float:
        return float(log_losses(Predictions(labels, softmax(logits, temperature))).mean())

    best = minimize_scalar(loss, bounds=(0.1, 5), method="bounded").x
    assert fit_temperature(logits, labels) == pytest.approx(best, rel=0.01)


def test_temperature_without_a_validation_error_stays_moderate() -> None:
    labels = np.arange(100) % 3
    assert 0.1 < fit_temperature(np.eye(3)[labels] * 8.0, labels) < 1.0


def test_temperature_of_nothing_is_one_and_of_nan_is_nan() -> None:
    assert fit_temperature(np.zeros((0, 3)), np.zeros(0, np.int64)) == 1.0
    assert np.isnan(fit_temperature(np.full((2, 3), np.nan), np.zeros(2, np.int64)))


def test_softmax_of_huge_logits_adds_up_to_one() -> None:
    assert softmax(np.array([[1e4, -1e4, 0.0]])).sum() == pytest.approx(1.0)


def test_reliability_bins_hold_every_sample_once_in_order() -> None:
    made = predictions(333)
    bins = reliability(made.confidence, made.correct, 15)
    assert sum(one.samples for one in bins) == 333
    sure = [one.confidence for one in bins]
    assert sure == sorted(sure) and all(20 <= one.samples <= 25 for one in bins)
