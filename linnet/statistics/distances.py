"""Distances between distributions that are given as histograms over the same bins."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def jensen_shannon(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float:
    """Jensen-Shannon distance, base 2, of two histograms [K]: 0 alike, 1 nothing in common.

    The square root of the divergence: Lin (1991); Endres & Schindelin (2003), doi:10.1109/TIT.2003.813506.
    An empty histogram is at distance 1 from any other.
    """
    if not first.sum() or not second.sum():
        return float(bool(first.sum()) != bool(second.sum()))
    p, q = first / first.sum(), second / second.sum()
    middle = (p + q) / 2

    def divergence(part: npt.NDArray[np.float64]) -> float:
        inside = part > 0
        return float((part[inside] * np.log2(part[inside] / middle[inside])).sum())

    return float(np.sqrt(max((divergence(p) + divergence(q)) / 2, 0.0)))
