"""Stationary streams: how often chance alone asks for a training run."""

from __future__ import annotations

import numpy as np

from linnet.config import RetrainingConfig
from linnet.records import Interval, RetrainingEvidence
from linnet.retraining.history import History
from linnet.retraining.policy import decide
from tests.retraining.evidence import HOUR, NOON, window

STREAMS, WINDOWS, LABELS, ACCURACY = 200, 50, 500, 0.93


def test_stationary_streams_ask_for_a_run_in_at_most_one_of_a_hundred() -> None:
    """200 streams of 50 windows. Harder than what monitoring gives: each window violates with probability
    0.05 by itself, without control of false discoveries over time, and labels keep coming."""
    rng = np.random.default_rng(0)
    config, asked, violations = RetrainingConfig(), 0, 0
    for _ in range(STREAMS):
        findings, triggered = [], False
        for number in range(WINDOWS):
            right = rng.binomial(LABELS, ACCURACY) / LABELS
            half = 1.96 * np.sqrt(right * (1 - right) / LABELS)
            loss = Interval(value=ACCURACY - right, low=ACCURACY - right - half, high=ACCURACY - right + half)
            violates = bool(rng.random() < 0.05)
            violations += violates
            findings.append(window(number, violates=violates, loss=loss))
            found = RetrainingEvidence(
                model="tiny",
                champion="1",
                trained_until=NOON,
                windows=tuple(findings[-10:]),
                new_labels=10_000,
            )
            at = NOON + (number + 1) * HOUR
            triggered |= decide(found, History(), config, at, "monitoring").request
        asked += triggered
    assert 400 < violations < 600, "there are windows that violate by chance"
    assert asked <= STREAMS * 0.01
