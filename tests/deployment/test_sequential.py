from __future__ import annotations

import random
from math import ceil, inf, lgamma

import numpy as np
import pytest

from linnet.deployment.sequential import (
    FREQUENT,
    RARE,
    MeanEvidence,
    difference_bounds,
    difference_evidence,
    quantile_ranks,
    share_bounds,
    share_evidence,
)


def test_share_bounds_without_trials_say_nothing() -> None:
    assert share_bounds(0, 0, (0.05, 0.05), RARE) == (0.0, 1.0)


def test_share_bounds_narrow_with_trials_and_hold_the_share() -> None:
    widths = []
    for trials in (100, 1000, 10_000):
        low, high = share_bounds(trials // 20, trials, (0.01, 0.01), RARE)
        assert low < 0.05 < high
        widths.append(high - low)
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_share_bounds_at_the_ends_are_closed_on_one_side() -> None:
    assert share_bounds(0, 1400, (0.005, 0.005), RARE)[0] == 0.0
    assert share_bounds(0, 1400, (0.005, 0.005), RARE)[1] < 0.005
    assert share_bounds(100, 100, (0.005, 0.005), FREQUENT)[1] == 1.0
    assert share_bounds(100, 100, (0.005, 0.005), FREQUENT)[0] > 0.85


@pytest.mark.parametrize(("share", "prior"), [(0.02, RARE), (0.5, RARE), (0.95, FREQUENT)])
def test_share_bounds_looked_at_often_rarely_ever_miss_the_share(
    share: float, prior: tuple[float, float]
) -> None:
    alpha, trials, length = 0.1, 400, 300
    rng = np.random.default_rng(3)
    yes = np.zeros(trials)
    low_missed, high_missed, naive = (np.zeros(trials, bool) for _ in range(3))
    for n in range(1, length + 1):
        yes = yes + (rng.random(trials) < share)
        if n > 60 and n % 4:
            continue
        low, high = share_bounds(yes, n, (alpha, alpha), prior)
        low_missed |= share < low
        high_missed |= share > high
        mean = yes / n
        if n >= 30:
            spread = np.sqrt(np.maximum(mean * (1 - mean), 1e-9) / n)
            naive |= np.abs(mean - share) > 1.645 * spread
    assert (low_missed | high_missed).mean() <= alpha
    assert naive.mean() > 2 * alpha, "peeking at an ordinary interval must show why this one is needed"


def test_difference_bounds_looked_at_often_rarely_ever_miss_the_difference() -> None:
    alpha, trials = 0.1, 300
    rng = np.random.default_rng(2)
    ours = theirs = np.zeros(trials)
    missed_low, missed_high = np.zeros(trials, bool), np.zeros(trials, bool)
    for look in range(1, 60):
        ours, theirs = ours + rng.binomial(5, 0.12, trials), theirs + rng.binomial(20, 0.08, trials)
        low, high = difference_bounds((ours, 5 * look), (theirs, 20 * look), (alpha, alpha), RARE)
        missed_low |= low > 0.04
        missed_high |= high < 0.04
    assert missed_low.mean() <= alpha and missed_high.mean() <= alpha
    assert float(np.median(high - low)) < 0.25


def test_difference_evidence_crosses_where_the_bounds_pass_the_margin() -> None:
    rng = np.random.default_rng(3)
    n1, n2 = rng.integers(1, 2000, 200), rng.integers(1, 2000, 200)
    x1, x2 = rng.binomial(n1, 0.06), rng.binomial(n2, 0.02)
    low, high = difference_bounds((x1, n1), (x2, n2), (0.05, 0.01), RARE)
    more, within = difference_evidence((x1, n1), (x2, n2), 0.02, RARE)
    assert ((more >= np.log(1 / 0.05)) == (low > 0.02)).all()
    assert ((within >= np.log(1 / 0.01)) == (high < 0.02)).all()
    assert (low > 0.02).any() and not (low > 0.02).all()


def test_largest_likelihood_of_a_difference_is_what_a_search_finds() -> None:
    rng = np.random.default_rng(5)
    for _ in range(60):
        n1, n2 = rng.integers(1, 300, 2)
        x1, x2 = rng.integers(0, n1 + 1), rng.integers(0, n2 + 1)
        margin = float(rng.uniform(-0.5, 0.5))
        more, within = difference_evidence((x1, n1), (x2, n2), margin, RARE)
        found = max(float(more), float(within))
        p2 = np.linspace(max(0, -margin), min(1, 1 - margin), 20001)[1:-1]
        logs = [x1 * np.log(p2 + margin), (n1 - x1) * np.log1p(-p2 - margin)]
        best = (sum(logs) + x2 * np.log(p2) + (n2 - x2) * np.log1p(-p2)).max()
        marginal = sum(
            lgamma(a) + lgamma(b) - lgamma(a + b) - lgamma(0.5) - lgamma(50) + lgamma(50.5)
            for a, b in ((0.5 + x1, 50 + n1 - x1), (0.5 + x2, 50 + n2 - x2))
        )
        assert found <= marginal - best + 1e-6, "evidence may never be larger than it is"
        assert found == pytest.approx(marginal - best, abs=1e-3)


def test_share_evidence_points_one_way_only() -> None:
    over, under = share_evidence(90, 100, 0.7, FREQUENT)
    assert over > 5 and under == -inf
    over, under = share_evidence(0, 0, 0.7, FREQUENT)
    assert over == under == -inf


def test_mean_bounds_looked_at_often_rarely_ever_miss_the_mean_and_narrow() -> None:
    alpha, streams = 0.1, 300
    rng = np.random.default_rng(6)
    evidence, missed = MeanEvidence.empty((streams,)), np.zeros(streams, bool)
    for _ in range(150):
        values = rng.beta(9, 1, (streams, 7))
        evidence.add(np.full(streams, 7), values.sum(1), (values**2).sum(1))
        low, high = evidence.bounds(alpha)
        missed |= (low > 0.9) | (high < 0.9)
    assert missed.mean() <= alpha
    assert float(np.median(high - low)) < 0.06


def test_quantile_ranks_of_few_values_leave_the_top_open() -> None:
    assert quantile_ranks(0, 0.95, 0.01) == (0, 1)
    assert quantile_ranks(20, 0.95, 0.01)[1] == 21


def test_quantile_ranks_of_many_values_enclose_the_quantile() -> None:
    for quantile in (0.5, 0.95):
        low, high = quantile_ranks(10_000, quantile, 0.005)
        assert 10_000 * quantile * 0.95 < low < 10_000 * quantile < high < min(10_000 * quantile * 1.06, 9990)


@pytest.mark.parametrize("rounded", [False, True], ids=["continuous", "with atoms"])
@pytest.mark.parametrize("quantile", [0.5, 0.95])
def test_quantile_ranks_looked_at_often_rarely_ever_miss_the_quantile(quantile: float, rounded: bool) -> None:
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
            low, high = quantile_ranks(len(values), quantile, alpha)
            least = values[low - 1] if low >= 1 else -inf
            most = values[high - 1] if high <= len(values) else inf
            ever |= not least <= truth <= most
        missed += ever
    assert missed / trials <= alpha
