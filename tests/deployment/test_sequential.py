from __future__ import annotations

import random
from math import ceil, inf, sqrt

import pytest

from linnet.deployment.sequential import FREQUENT, RARE, quantile_bounds, quantile_ranks, share_bounds


def test_share_bounds_without_trials_say_nothing() -> None:
    assert share_bounds(0, 0, 0.05, RARE) == (0.0, 1.0)


def test_share_bounds_narrow_with_trials_and_hold_the_share() -> None:
    widths = []
    for trials in (100, 1000, 10_000):
        low, high = share_bounds(trials // 20, trials, 0.01, RARE)
        assert low < 0.05 < high
        widths.append(high - low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_share_bounds_at_the_ends_are_closed_on_one_side() -> None:
    assert share_bounds(0, 1400, 0.005, RARE)[0] == 0.0
    assert share_bounds(0, 1400, 0.005, RARE)[1] < 0.005
    assert share_bounds(100, 100, 0.005, FREQUENT)[1] == 1.0
    assert share_bounds(100, 100, 0.005, FREQUENT)[0] > 0.85


@pytest.mark.parametrize(("share", "prior"), [(0.02, RARE), (0.5, RARE), (0.95, FREQUENT)])
def test_share_bounds_looked_at_after_every_trial_rarely_ever_miss_the_share(
    share: float, prior: tuple[float, float]
) -> None:
    alpha, trials, length = 0.1, 200, 300
    rng = random.Random(3)
    missed = naive = 0
    for _ in range(trials):
        yes, ever, ever_naive = 0, False, False
        for n in range(1, length + 1):
            yes += rng.random() < share
            low, high = share_bounds(yes, n, alpha, prior)
            ever |= not low <= share <= high
            mean = yes / n
            ever_naive |= n >= 30 and abs(mean - share) > 1.645 * sqrt(max(mean * (1 - mean), 1e-9) / n)
        missed += ever
        naive += ever_naive
    assert missed / trials <= alpha
    assert naive / trials > 2 * alpha, "peeking at an ordinary interval must show why this one is needed"


def test_quantile_ranks_of_few_values_leave_the_top_open() -> None:
    assert quantile_ranks(0, 0.95, 0.01) == (0, 1)
    assert quantile_ranks(20, 0.95, 0.01)[1] == 21
    assert quantile_bounds([1.0] * 20, 0.95, 0.01)[1] == inf


def test_quantile_ranks_of_many_values_enclose_the_quantile() -> None:
    for quantile in (0.5, 0.95):
        low, high = quantile_ranks(10_000, quantile, 0.005)
        assert 10_000 * quantile * 0.95 < low < 10_000 * quantile < high < min(10_000 * quantile * 1.06, 9990)


@pytest.mark.parametrize("rounded", [False, True], ids=["continuous", "with atoms"])
@pytest.mark.parametrize("quantile", [0.5, 0.95])
def test_quantile_bounds_looked_at_often_rarely_ever_miss_the_quantile(
    quantile: float, rounded: bool
) -> None:
    alpha, trials = 0.1, 200
    rng = random.Random(5)
    truth = round(quantile * 20) / 20 if rounded else quantile
    missed = 0
    for _ in range(trials):
        values: list[float] = []
        ever = False
        for _ in range(40):
            values += [ceil(rng.random() * 20) / 20 if rounded else rng.random() for _ in range(10)]
            values.sort()
            low, high = quantile_bounds(values, quantile, alpha)
            ever |= not low <= truth <= high
        missed += ever
    assert missed / trials <= alpha
