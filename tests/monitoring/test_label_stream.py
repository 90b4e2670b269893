"""Labels that contradict sure answers, and labels that stop coming."""

from __future__ import annotations

import numpy as np
import pytest

from linnet.monitoring.label_stream import contradicted_share
from linnet.monitoring.server_health import traffic_fell
from linnet.serving.metrics import SETTLE_SECONDS, SettledMemory
from tests.monitoring.faults import CLASSES, answers


@pytest.mark.parametrize("seed", range(20))
def test_calibrated_answers_are_contradicted_by_no_label_and_by_noisy_ones_as_often_as_they_are_wrong(
    seed: int,
) -> None:
    served = answers(4_000, seed)
    confidence, named = served.output.max(axis=1), served.output.argmax(axis=1)
    clean = contradicted_share(confidence, named == served.truth, named)
    struck = np.random.default_rng(seed).random(len(named)) < 0.2
    noisy = contradicted_share(confidence, (named == served.truth) & ~struck, named)
    assert clean < 0.01 and 0.1 < noisy < 0.25


def test_one_broken_class_is_no_label_noise() -> None:
    served = answers(4_000, 5)
    confidence, named = served.output.max(axis=1), served.output.argmax(axis=1)
    right = (named == served.truth) & (named != len(CLASSES) - 1)
    assert contradicted_share(confidence, right, named) < 0.01


def test_few_labels_say_nothing() -> None:
    assert contradicted_share(np.full(19, 0.99), np.zeros(19, bool), np.zeros(19, np.int64)) == 0.0


@pytest.mark.parametrize(
    ("recent", "usual", "fell"),
    [(500, (1_000, 1_100), True), (700, (1_000,), False), (500, (1_000, 550), False), (0, (), False),
     (0, (99,), False), (0, (100,), True)],
)  # fmt: skip
def test_traffic_fell_only_below_what_every_day_before_had(
    recent: float, usual: tuple[float, ...], fell: bool
) -> None:
    assert traffic_fell(recent, usual) is fell


def test_settled_memory_is_taken_once_and_anew_after_a_load() -> None:
    now = [0.0]
    memory = SettledMemory(lambda: now[0])

    def held(resident: float) -> float:
        return float(memory.values(resident)[0][3][0][2])

    assert held(100.0) == 100.0
    now[0] = SETTLE_SECONDS
    assert held(300.0) == 300.0 and held(900.0) == 300.0
    memory.disturbed()
    assert held(900.0) == 900.0
    now[0] += SETTLE_SECONDS + 1
    assert held(910.0) == 910.0 and held(2_000.0) == 910.0
