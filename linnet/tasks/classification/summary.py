"""Margin and entropy of classes that exclude each other."""

from __future__ import annotations

import numpy as np

from linnet.tasks.answer import Output
from linnet.tasks.summary import Floats, Summary


class _OneClass:
    def margin(self, output: Output) -> Floats:
        """Highest minus second highest probability."""
        top: Floats = np.sort(_finite(output), axis=1)[:, -2:]
        return np.asarray(top[:, 1] - top[:, 0], np.float64)

    def entropy(self, output: Output) -> Floats:
        """Shannon entropy over log K."""
        finite = _finite(output)
        logs = np.log(np.where(finite > 0, finite, 1.0))
        return np.asarray(-(finite * logs).sum(axis=1) / np.log(finite.shape[1]), np.float64)

    def scalars(self, output: Output) -> dict[str, Floats]:  # noqa: ARG002
        return {}


def _finite(output: Output) -> Floats:
    """A model that answers NaN knows nothing: such rows become uniform."""
    values = np.asarray(output, np.float64)
    return np.where(np.isfinite(values).all(axis=1, keepdims=True), values, 1.0 / values.shape[1])


def summary(thresholds: tuple[float, ...]) -> Summary:  # noqa: ARG001  it has none
    """Reads the probabilities of K classes that exclude each other."""
    return _OneClass()
