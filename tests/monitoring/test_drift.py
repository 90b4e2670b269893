"""Every distance and p-value equals scipy's; a sketch is off by no more than it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from scipy.spatial.distance import jensenshannon

from linnet.artifacts.reference import SortedSample
from linnet.monitoring.drift import (
    compare_classes,
    compare_columns,
    compare_numbers,
    ks_p_value,
    psi,
    spread,
)
from linnet.statistics.distances import jensen_shannon

ALL = 10**9
floats = st.floats(-1e4, 1e4, width=32)
ties = st.integers(-3, 3).map(float)
samples = hnp.arrays(np.float32, st.integers(2, 60), elements=floats | ties)


@settings(max_examples=150, deadline=None)
@given(samples, samples)
def test_ks_and_wasserstein_equal_scipys(reference: np.ndarray, window: np.ndarray) -> None:
    found = compare_numbers(SortedSample.of(reference, ALL), window)
    expected = stats.ks_2samp(reference, window, method="asymp")
    assert found.ks == pytest.approx(expected.statistic, abs=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, abs=1e-9)
    distance = stats.wasserstein_distance(reference.astype(float), window.astype(float))
    scale = spread(np.sort(reference))
    assert found.wasserstein * scale == pytest.approx(
        distance, rel=1e-6, abs=1e-6 * max(1.0, float(np.abs(window).max()))
    )


@pytest.mark.parametrize("shift", [0.0, 0.02, 0.5])
def test_large_samples_equal_scipys(shift: float) -> None:
    rng = np.random.default_rng(3)
    reference, window = rng.normal(size=30_000), rng.normal(shift, 1 + shift, size=20_000)
    found = compare_numbers(SortedSample.of(reference, ALL), window)
    expected = stats.ks_2samp(reference, window, method="asymp")
    assert found.ks == pytest.approx(expected.statistic, abs=1e-12)
    assert found.p_value == pytest.approx(expected.pvalue, rel=1e-9, abs=1e-300)
    distance = stats.wasserstein_distance(reference, window) / reference.std()
    assert found.wasserstein == pytest.approx(distance, rel=1e-6)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**31), st.integers(50, 5_000), st.integers(5, 64), st.booleans())
def test_sketch_differs_from_all_values_by_at_most_its_error(
    seed: int, count: int, points: int, discrete: bool
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=count).astype(np.float32)
    values = np.round(values * 2) if discrete else values
    window = rng.normal(0.2, size=300).astype(np.float32)
    sketch = SortedSample.of(values, points)
    assert sketch.count == count and len(sketch.points) == min(points, count)
    exact = stats.ks_2samp(values, window).statistic
    assert abs(compare_numbers(sketch, window).ks - exact) <= sketch.error + 1e-9


def test_p_value_of_a_sketch_never_overstates() -> None:
    rng = np.random.default_rng(0)
    small = sum(
        compare_numbers(SortedSample.of(rng.normal(size=3000), 40), rng.normal(size=400)).p_value < 0.05
        for _ in range(200)
    )
    assert small <= 18  # 10 expected at most; P(more than 18) = 0.007 if it were exact


@pytest.mark.parametrize("seed", range(5))
def test_histogram_distances_equal_scipys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    expected, found = rng.integers(1, 90, 10), rng.integers(0, 50, 10)
    assert jensen_shannon(expected, found) == pytest.approx(jensenshannon(expected, found, base=2), abs=1e-12)
    p, q = (np.maximum(counts / counts.sum(), 1e-4) for counts in (expected, found))
    assert psi(expected, found) == pytest.approx(stats.entropy(p, q) * 0 + ((q - p) * np.log(q / p)).sum())


def test_histograms_are_over_the_references_deciles() -> None:
    reference = np.arange(1000, dtype=np.float64)
    found = compare_numbers(SortedSample.of(reference), np.full(500, 250.0))
    counts = np.zeros(10)
    counts[2] = 500  # (200, 300]
    expected = np.histogram(reference, np.concatenate([[-1], np.arange(100, 1000, 100), [1000]]))[0]
    assert found.jensen_shannon == pytest.approx(jensenshannon(expected, counts, base=2), abs=0.01)
    assert found.psi > 1


@settings(max_examples=100, deadline=None)
@given(
    hnp.arrays(np.int64, 6, elements=st.integers(0, 80)), hnp.arrays(np.int64, 6, elements=st.integers(0, 80))
)
def test_class_test_equals_scipys(expected: np.ndarray, found: np.ndarray) -> None:
    drift = compare_classes(expected, found)
    seen = (expected + found) > 0
    if not expected.sum() or not found.sum() or seen.sum() < 2:
        assert drift.p_value == 1.0
        return
    known = stats.chi2_contingency(np.stack([expected[seen], found[seen]]), correction=False)
    assert drift.statistic == pytest.approx(known.statistic, rel=1e-9)
    assert drift.p_value == pytest.approx(known.pvalue, rel=1e-7, abs=1e-300)


def test_values_that_are_no_numbers_are_counted_and_left_out() -> None:
    rng = np.random.default_rng(1)
    reference, good = SortedSample.of(rng.normal(size=500)), rng.normal(size=300)
    bad = np.concatenate([good, [np.nan] * 50, [np.inf] * 30, [-np.inf] * 20])
    found, plain = compare_numbers(reference, rng.permutation(bad)), compare_numbers(reference, good)
    assert found.missing == pytest.approx(0.25) and found.rows == 300
    assert (found.ks, found.p_value, found.wasserstein) == (plain.ks, plain.p_value, plain.wasserstein)


def test_column_without_a_single_number_has_no_distance() -> None:
    found = compare_numbers(SortedSample.of(np.arange(10.0)), np.full(5, np.nan))
    assert found.rows == 0 and found.missing == 1.0 and np.isnan(found.ks)


def test_constant_columns_are_compared() -> None:
    same = compare_numbers(SortedSample.of(np.full(50, 3.0)), np.full(20, 3.0))
    other = compare_numbers(SortedSample.of(np.full(50, 3.0)), np.full(20, 5.0))
    assert (same.ks, same.wasserstein, same.p_value) == (0.0, 0.0, 1.0)
    assert other.ks == 1.0 and other.wasserstein == pytest.approx(2.0) and other.p_value < 1e-6


def test_threads_give_the_same_as_one_column_at_a_time() -> None:
    rng = np.random.default_rng(0)
    columns = [rng.normal(size=25_000).astype(np.float32) for _ in range(4)]
    references = [SortedSample.of(rng.normal(size=5_000).astype(np.float32)) for _ in range(4)]
    assert compare_columns(references, columns, 2) == compare_columns(references, columns, 1)


def test_ks_p_value_of_no_distance_is_one() -> None:
    assert ks_p_value(0.0, 100, 1000) == 1.0


@pytest.mark.parametrize("distance", [0.0005, 0.002, 0.005, 0.01])
def test_ks_p_value_of_many_observations_is_close_to_scipys(distance: float) -> None:
    expected = stats.kstwo.sf(distance, 60_000)
    assert ks_p_value(distance, 120_000, 120_000) == pytest.approx(expected, abs=1e-5, rel=1e-2)
