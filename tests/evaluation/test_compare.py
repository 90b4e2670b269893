"""The paired comparison: published values, coverage, and what one pair more or less changes."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest

from linnet.evaluation.compare import compare_to_champion
from linnet.statistics.paired import mcnemar, paired_difference, pairs_needed


def profile_score(difference: float, gained: int, lost: int, pairs: int) -> float:
    """The same statistic with the nuisance cell maximised numerically instead of in closed form."""
    both = pairs - gained - lost

    def loss(rarer: float) -> float:
        cells = (rarer + difference, rarer, 1 - 2 * rarer - difference)
        counts = (gained, lost, both)
        return -sum(n * np.log(max(p, 1e-300)) for n, p in zip(counts, cells, strict=True) if n)

    low, high = max(0.0, -difference), (1 - difference) / 2
    rarer = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-12}).x
    return (gained - lost - pairs * difference) / np.sqrt(pairs * (2 * rarer + difference * (1 - difference)))


@pytest.mark.parametrize("counts", [(12, 5, 60), (5, 12, 60), (40, 38, 10_000), (3, 1, 15)])
def test_bounds_solve_the_score_equation(counts: tuple[int, int, int]) -> None:
    found = paired_difference(*counts, 0.95)
    assert profile_score(found.low, *counts) == pytest.approx(1.95996, abs=2e-3)
    assert profile_score(found.high, *counts) == pytest.approx(-1.95996, abs=2e-3)


def test_models_that_never_differ_still_have_a_width() -> None:
    found = paired_difference(0, 0, 100, 0.95)
    assert found.value == 0.0 and found.high == pytest.approx(-found.low)
    assert 0.03 < found.high < 0.04


@pytest.mark.parametrize("margin", [0.005, 0.01, 0.03, 0.1, 0.5])
def test_pairs_needed_is_the_edge_at_which_equal_models_pass(margin: float) -> None:
    needed = pairs_needed(margin, 0.95)
    assert paired_difference(0, 0, needed, 0.95).low > -margin
    assert paired_difference(0, 0, needed - 1, 0.95).low <= -margin


def test_no_number_of_pairs_shows_a_margin_of_zero() -> None:
    with pytest.raises(ValueError, match="margin"):
        pairs_needed(0.0, 0.95)


def test_exchanging_the_models_mirrors_the_interval() -> None:
    one, other = paired_difference(9, 4, 50, 0.9), paired_difference(4, 9, 50, 0.9)
    assert one.low == pytest.approx(-other.high) and one.high == pytest.approx(-other.low)


@pytest.mark.parametrize(("gained", "lost"), [(30, 0), (0, 30), (1, 0)])
def test_one_sided_discordance_stays_within_minus_one_and_one(gained: int, lost: int) -> None:
    found = paired_difference(gained, lost, 30, 0.95)
    assert -1.0 <= found.low <= found.value <= found.high <= 1.0 and found.low < found.high


def test_no_pairs_are_not_a_number() -> None:
    assert np.isnan(paired_difference(0, 0, 0, 0.95).low)


def test_coverage_is_as_promised() -> None:
    rng = np.random.default_rng(0)
    gain, loss = 0.06, 0.03
    draws = rng.multinomial(150, [gain, loss, 1 - gain - loss], size=800)
    held = [
        found.low <= gain - loss <= found.high
        for found in (paired_difference(int(g), int(n), 150, 0.95) for g, n, _ in draws)
    ]
    assert 0.93 < np.mean(held) < 0.98


def test_comparison_counts_who_is_right() -> None:
    candidate, champion = np.array([1.0, 1, 1, 0, 0]), np.array([1.0, 0, 0, 1, 0])
    found = compare_to_champion(candidate, champion, 0.4, "4", 0.95)
    assert (found.candidate_only_right, found.champion_only_right) == (2, 1)
    assert found.difference.value == pytest.approx(0.2)
    assert found.agreement == 0.4 and found.champion == "4"
    assert found.difference == paired_difference(2, 1, 5, 0.95)


def test_coverage_of_scores_in_between_is_as_promised() -> None:
    rng = np.random.default_rng(3)
    wrong, widths = np.zeros(2), []
    for _ in range(600):
        champion = rng.beta(8, 2, 200)
        candidate = (champion + rng.normal(0, 0.05, 200)).clip(0, 1)  # outlines move a little
        candidate[rng.random(200) < 0.03] = 0.0  # and single objects are missed
        found = compare_to_champion(candidate, champion, 0.5, "4", 0.95).difference
        wrong += found.low > -0.0247, found.high < -0.0247
        widths.append(found.high - found.low)
    assert (wrong / 600 <= 0.03).all() and wrong.any()  # of either side 2.5 % are promised
    assert np.mean(widths) < 0.055


def test_models_whose_outlines_alone_differ_are_told_apart_by_what_outlines_cost() -> None:
    rng = np.random.default_rng(5)
    one, other = (0.85 + rng.normal(0, 0.03, 400) for _ in range(2))
    found = compare_to_champion(one, other, 0.9, "4", 0.95).difference
    assert found.high - found.low < 0.025
    assert compare_to_champion(other - 0.02, other, 0.9, "4", 0.95).difference.high < -0.005


def test_mcnemar_equals_the_binomial_test() -> None:
    assert mcnemar(9, 3) == pytest.approx(binomtest(3, 12, 0.5).pvalue)
    assert mcnemar(0, 0) == 1.0 == mcnemar(5, 5)
