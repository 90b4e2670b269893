"""Two samples compared: distances, p-values and effect sizes of numbers and of classes.

Everything is one sort of the window's values, and then look-ups at the reference's few points: the
distances against a stored sketch cost little more than `np.sort` itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.artifacts.reference import SortedSample
from linnet.statistics.distances import jensen_shannon

Floats = npt.NDArray[np.float64]
Values = npt.NDArray[np.floating[Any]]
Ints = npt.NDArray[np.int64]

BINS = 10
"""Bins of PSI and Jensen-Shannon: the reference's deciles."""
_EXACT_UP_TO = 20_000
"""Effective observations up to which the p-value of KS is scipy's own."""
_FLOOR = 1e-4
"""Share that an empty bin counts with in PSI, whose logarithm has no value for none."""


@dataclass(frozen=True, slots=True)
class NumberDrift:
    """A column of numbers against its reference."""

    rows: int
    """Values that were finite."""
    missing: float
    """Share of values that were not."""
    ks: float
    """Kolmogorov-Smirnov: largest distance of the distribution functions, 0 to 1."""
    p_value: float
    """Two-sided asymptotic p-value of `ks`; with ties it is conservative."""
    wasserstein: float
    """Earth mover's distance (order 1), in standard deviations of the reference."""
    psi: float
    jensen_shannon: float
    """Distance (the square root of the divergence), base 2, over the reference's deciles."""


@dataclass(frozen=True, slots=True)
class ClassDrift:
    """Class counts against the reference's."""

    rows: int
    statistic: float
    """Pearson's chi-squared statistic of homogeneity."""
    p_value: float
    psi: float
    jensen_shannon: float


def compare_columns(
    references: Sequence[SortedSample], columns: Sequence[Values], threads: int = 2
) -> list[NumberDrift]:
    """`compare_numbers` of every column [n]; sorting does not hold the GIL, so threads help."""
    if threads < 2 or len(columns) < 2 or len(columns[0]) < 20_000:
        return [compare_numbers(*pair) for pair in zip(references, columns, strict=True)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(compare_numbers, references, columns))


def compare_numbers(reference: SortedSample, values: Values) -> NumberDrift:
    """Values [n] of a window against a reference of K points.

    KS and its p-value are those of `scipy.stats.ks_2samp(method="asymp")`, the Wasserstein distance is
    that of `scipy.stats.wasserstein_distance`, over the sketch's points. The p-value allows for what
    the sketch left out: it is that of the distance less `reference.error`.
    """
    window = np.sort(values)
    infinity = window.dtype.type(np.inf)  # of another type it would cast the whole window
    first, last = np.searchsorted(window, -infinity, "right"), np.searchsorted(window, infinity, "left")
    window = window[first:last]  # NaN stands behind everything
    rows = len(window)
    missing = 1.0 - rows / len(values) if len(values) else 0.0
    points = reference.points
    if not rows or not len(points):
        nan = float("nan")
        return NumberDrift(rows, missing, nan, 1.0, nan, nan, nan)
    below, upto = (np.searchsorted(window, points.astype(window.dtype), side) for side in ("left", "right"))
    ks = _largest_gap(points, below, upto, rows)
    edges = np.unique(_quantiles(points, np.arange(1, BINS) / BINS))
    expected = np.diff(np.searchsorted(points, edges, "right"), prepend=0, append=len(points))
    found = np.diff(np.searchsorted(window, edges.astype(window.dtype), "right"), prepend=0, append=rows)
    return NumberDrift(
        rows=rows,
        missing=missing,
        ks=ks,
        p_value=ks_p_value(max(ks - reference.error, 0.0), reference.count, rows),
        wasserstein=_wasserstein(points, window) / spread(points),
        psi=psi(expected, found),
        jensen_shannon=jensen_shannon(expected, found),
    )


def compare_classes(expected: Ints, found: Ints) -> ClassDrift:
    """Counts by class [K] of a window against the reference's; classes that neither has do not count.

    The p-value is that of `scipy.stats.chi2_contingency(correction=False)`.
    """
    from scipy.special import chdtrc

    rows, total = int(found.sum()), int(expected.sum())
    seen = (expected + found) > 0
    if not rows or not total or seen.sum() < 2:
        return ClassDrift(rows, 0.0, 1.0, 0.0, 0.0)
    table = np.stack([expected[seen], found[seen]]).astype(np.float64)
    wanted = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    statistic = float(((table - wanted) ** 2 / wanted).sum())
    return ClassDrift(
        rows=rows,
        statistic=statistic,
        p_value=float(chdtrc(int(seen.sum()) - 1, statistic)),
        psi=psi(expected[seen], found[seen]),
        jensen_shannon=jensen_shannon(expected, found),
    )


def ks_p_value(distance: float, first: int, second: int) -> float:
    """Two-sided p-value of a KS distance of two samples of these sizes, as scipy's `asymp` method.

    Beyond 20,000 effective observations scipy's exact tail takes a loop over all of them (most of a
    second for a million), so the limiting distribution is used there, with Vrbik's correction (Pioneer
    Journal of Theoretical and Applied Statistics 15, 2018); it differs by less than 1e-5.
    """
    from scipy.special import kolmogorov
    from scipy.stats import kstwo

    larger, smaller = float(max(first, second)), float(min(first, second))
    effective = max(np.round(larger * smaller / (larger + smaller)), 1.0)  # scipy gives NaN for one and one
    if effective > _EXACT_UP_TO and distance > 0:
        root = np.sqrt(effective)
        corrected = root * distance + 1.0 / (6.0 * root) + (root * distance - 1.0) / (4.0 * effective)
        return float(kolmogorov(corrected))
    return float(min(max(kstwo.sf(distance, effective), 0.0), 1.0))


def psi(expected: npt.NDArray[Any], found: npt.NDArray[Any]) -> float:
    """Population stability index of two histograms over the same bins; an empty bin counts as 0.0001.

    Siddiqi, "Credit Risk Scorecards" (2006); by its rule of thumb 0.1 is a change and 0.25 a large one.
    """
    first, second = (np.maximum(counts / counts.sum(), _FLOOR) for counts in (expected, found))
    return float(((second - first) * np.log(second / first)).sum())


def spread(points: Values) -> float:
    """Standard deviation of a sample's points; 1 for a constant, whose distances stay in its own unit."""
    deviation = float(points.std(dtype=np.float64))
    return deviation if deviation > 1e-12 else 1.0


def _quantiles(points: Values, shares: Floats) -> Values:
    """Lower empirical quantiles of sorted points."""
    chosen: Values = points[np.minimum((shares * len(points)).astype(np.int64), len(points) - 1)]
    return chosen


def _largest_gap(points: Values, below: Ints, upto: Ints, rows: int) -> float:
    """sup |F - G| of step functions: it is taken at a point of the reference, or just before one."""
    size = len(points)
    # At ties of the reference the function steps once for all of them.
    at = np.searchsorted(points, points, "right") / size
    before = np.searchsorted(points, points, "left") / size
    return float(max(np.abs(at - upto / rows).max(), np.abs(before - below / rows).max()))


def _wasserstein(points: Values, window: Values) -> float:
    """Integral of |F - G| for sorted points [K] (F) and window [n] (G), in O(n + K log n).

    Between neighboring points F is constant and G rises, so their difference changes its sign at most
    once, at a quantile of the window; the integral of G up to t is (j t - S_j) / n with the number j and
    the sum S_j of the values up to t.
    """
    rows, size = len(window), len(points)
    origin = float(points[size // 2])  # keeps the sums small
    left, right = (part.astype(np.float64) - origin for part in (points[:-1], points[1:]))
    level = np.arange(1, size) / size
    crossing = np.clip(np.ceil(level * rows).astype(np.int64) - 1, 0, rows - 1)
    middle = np.clip(window[crossing].astype(np.float64) - origin, left, right)
    counts = np.searchsorted(window, points, "right")
    middle_counts = np.searchsorted(window, (middle + origin).astype(window.dtype), "right")
    sums, middle_sums, total = _sums_up_to(window, counts, middle_counts, origin)

    def area(at: Floats, count: Ints, total_up_to: Floats) -> Floats:
        """Integral of G up to `at`."""
        return (count * at - total_up_to) / rows

    low, high = area(left, counts[:-1], sums[:-1]), area(right, counts[1:], sums[1:])
    mid = area(middle, middle_counts, middle_sums)
    inner = level * (middle - left) - (mid - low) + (high - mid) - level * (right - middle)
    first, last = float(points[0]) - origin, float(points[-1]) - origin
    head = (counts[0] * first - sums[0]) / rows
    tail = (total - sums[-1] - (rows - counts[-1]) * last) / rows
    return float(np.maximum(inner, 0.0).sum() + head + tail)


def _sums_up_to(window: Values, first: Ints, second: Ints, origin: float) -> tuple[Floats, Floats, float]:
    """Sums of the first j values less `origin`, for every j in `first` and `second`; and of all values.

    Only the sums between neighboring j are taken: a running sum over the window would cost as much
    memory traffic as sorting it.
    """
    marks, back = np.unique(np.concatenate([first, second, [0, len(window)]]), return_inverse=True)
    parts = np.add.reduceat(window, marks[:-1], dtype=np.float64) - np.diff(marks) * origin
    sums = np.concatenate([[0.0], np.cumsum(parts)])
    found = sums[back]
    return found[: len(first)], found[len(first) : len(first) + len(second)], float(sums[-1])
