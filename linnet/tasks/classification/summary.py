"""Margin and entropy of classes that exclude each other."""

from __future__ import annotations

import numpy as np

from linnet.tasks.answer import Probabilities
from linnet.tasks.summary import Floats, Summary


class _OneClass:
    def margin(self, probabilities: Probabilities) -> Floats:
        """Highest minus second highest probability."""
        top: Floats = np.sort(_finite(probabilities), axis=1)[:, -2:]
        return np.asarray(top[:, 1] - top[:, 0], np.float64)

    def entropy(self, probabilities: Probabilities) -> Floats:
        """Shannon entropy over log K."""
        finite = _finite(probabilities)
        logs = np.log(np.where(finite > 0, finite, 1.0))
        return np.asarray(-(finite * logs).sum(axis=1) / np.log(finite.shape[1]), np.float64)


def _finite(probabilities: Probabilities) -> Floats:
    """A model that answers NaN knows nothing: such rows become uniform."""
    values = np.asarray(probabilities, np.float64)
    return np.where(np.isfinite(values).all(axis=1, keepdims=True), values, 1.0 / values.shape[1])


def summary(thresholds: tuple[float, ...]) -> Summary:  # noqa: ARG001  it has none
    """Reads the probabilities of K classes that exclude each other."""
    return _OneClass()
