"""Two models on the same samples: how far apart they are, and how many samples it takes to tell."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from linnet.records import Interval
from linnet.statistics.intervals import quantile_of_normal, unknown


def paired_difference(
    gained: float, lost: float, pairs: int, confidence: float, squares: float | None = None
) -> Interval:
    """Score interval of (gained - lost) / pairs; NaN for no pairs.

    What is gained and lost may be sums of differences in [0, 1], and `squares` that of their squares. It is
    then the interval of as many differences of one size as have the same sum and spread; z squared whole ones
    are added to the size, because those that are rare and large may not have been seen (simulated: a bound
    is missed in at most 2.5 % where it shall be, of 100 samples on). None: they are all whole.

    It inverts the score test of a given difference, with the rarer cell at its restricted maximum
    likelihood: Tango, Statistics in Medicine 17 (1998). It keeps its coverage in small samples and
    has a width even when the two never differ.
    """
    if pairs == 0:
        return unknown()
    z = quantile_of_normal(confidence)
    if squares is not None and squares < gained + lost:
        size = (squares + z * z) / (gained + lost + z * z)
        found = paired_difference(gained / size, lost / size, pairs, confidence)
        return Interval(value=found.value * size, low=found.low * size, high=found.high * size)
    value = (gained - lost) / pairs
    return Interval(
        value=value,
        low=_crossing(lambda difference: _score(difference, gained, lost, pairs) > z, -1.0, value),
        high=_crossing(lambda difference: _score(difference, gained, lost, pairs) > -z, value, 1.0),
    )


def pairs_needed(margin: float, confidence: float) -> int:
    """Fewest test samples on which two models that never differ are non-inferior by `margin`.

    Raises:
        ValueError: the margin is not positive; no number of samples is enough.
    """
    if not margin > 0.0:
        raise ValueError(f"no number of samples shows a margin of {margin}")
    few, enough = 0, 1
    while not _shows(margin, enough, confidence):
        few, enough = enough, 2 * enough
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if _shows(margin, middle, confidence) else (middle, enough)
    return enough


def _shows(margin: float, pairs: int, confidence: float) -> bool:
    return paired_difference(0, 0, pairs, confidence).low > -margin


def _score(difference: float, gained: float, lost: float, pairs: int) -> float:
    """Standardized distance of the data from a true `difference`; falls as the difference grows."""
    b = -gained - lost + (2 * pairs - gained + lost) * difference
    c = -lost * difference * (1.0 - difference)
    root = np.sqrt(max(b * b - 8.0 * pairs * c, 0.0))
    rarer = max((root - b) / (4.0 * pairs), 0.0)
    variance = pairs * (2.0 * rarer + difference * (1.0 - difference))
    distance = gained - lost - pairs * difference
    if variance <= 0.0:
        return float(np.sign(distance) * np.inf) if distance else 0.0
    return float(distance / np.sqrt(variance))


def _crossing(before: Callable[[float], bool], low: float, high: float) -> float:
    """Where `before` turns from True to False, by bisection to 1e-12."""
    for _ in range(42):
        middle = (low + high) / 2.0
        low, high = (middle, high) if before(middle) else (low, middle)
    return (low + high) / 2.0


def mcnemar(gained: int, lost: int) -> float:
    """Exact two-sided p-value that both models err equally often: McNemar, Psychometrika 12 (1947)."""
    from scipy.stats import binom

    return float(min(1.0, 2.0 * binom.cdf(min(gained, lost), gained + lost, 0.5)))
