"""False discoveries: Benjamini-Hochberg within a window, LORD++ over windows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from linnet.monitoring.online_fdr import _weights, adjusted, next_level, simes


def test_adjusted_p_values_are_those_of_the_papers_example() -> None:
    # Benjamini & Hochberg (1995), section 3.2: 15 tests, 4 rejected at 0.05.
    p = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240]
    p += [0.4262, 0.5719, 0.6528, 0.7590, 1.0]
    assert (adjusted(p) <= 0.05).sum() == 4


def test_window_is_rejected_exactly_if_a_quantity_is() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        p = list(rng.random(8) ** 3)
        level = rng.random() * 0.2
        assert (simes(p) <= level) == bool((adjusted(p) <= level).any())


def test_no_tests_say_nothing() -> None:
    assert simes([]) == 1.0 and len(adjusted([])) == 0


def test_weights_sum_to_at_most_one() -> None:
    # The tail beyond t of log(t) / (t exp(sqrt(log t))) is an integral in u = sqrt(log t).
    head, u = _weights(100_000).sum(), np.sqrt(np.log(100_000))
    tail = 0.07720838 * 2 * np.exp(-u) * (u**3 + 3 * u**2 + 6 * u + 6)
    assert 0.95 < head + tail <= 1.0


def test_levels_fall_without_discoveries_and_rise_after_one() -> None:
    quiet = [next_level([0.9] * n, 0.05) for n in range(1, 40)]
    assert all(a >= b for a, b in pairwise(quiet[1:]))
    assert next_level([0.9] * 30 + [1e-9], 0.05) > 5 * next_level([0.9] * 31, 0.05)


def levels_and_rejections(p_values: np.ndarray, alpha: float) -> list[bool]:
    return [bool(p <= next_level(list(p_values[:t]), alpha)) for t, p in enumerate(p_values)]


def test_stationary_streams_are_rejected_in_at_most_alpha() -> None:
    rng = np.random.default_rng(4)
    hit = sum(any(levels_and_rejections(rng.random(40), 0.2)) for _ in range(150))
    assert hit <= 43  # 30 allowed on average; P(more than 43) < 0.005


def test_false_discovery_rate_holds_with_true_drift_among_the_windows() -> None:
    rng, shares = np.random.default_rng(5), []
    for _ in range(80):
        real = rng.random(40) < 0.3
        found = np.array(levels_and_rejections(np.where(real, 1e-12, rng.random(40)), 0.1))
        shares.append((found & ~real).sum() / max(found.sum(), 1))
        assert found[real].all()
    assert np.mean(shares) <= 0.1
