"""Distances of histograms equal scipy's, and say something of empty ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from linnet.statistics.distances import jensen_shannon


def test_jensen_shannon_known_values() -> None:
    assert jensen_shannon(np.array([1, 1]), np.array([5, 5])) == 0.0
    assert jensen_shannon(np.array([1, 0]), np.array([0, 9])) == pytest.approx(1.0)
    assert jensen_shannon(np.array([0, 0]), np.array([0, 9])) == 1.0
    p, q = np.array([3, 5, 9]), np.array([7, 1, 1])
    assert jensen_shannon(p, q) == pytest.approx(float(jensenshannon(p, q, base=2)))
