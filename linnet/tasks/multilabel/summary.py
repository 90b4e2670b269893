"""Margin and entropy of classes that do not exclude each other: each is a question of its own."""

from __future__ import annotations

import numpy as np

from linnet.tasks.answer import Output
from linnet.tasks.multilabel.answer import USUAL
from linnet.tasks.summary import Floats, Summary


class _Classes:
    def __init__(self, thresholds: tuple[float, ...]) -> None:
        self._thresholds = np.asarray(thresholds or (USUAL,), np.float64)

    def margin(self, output: Output) -> Floats:
        """The least distance of a probability from its threshold, over the distance that there can be."""
        values, bound = self._finite(output), self._thresholds
        room = np.where(values >= bound, 1.0 - bound, bound)
        distances = np.divide(abs(values - bound), room, out=np.ones_like(values), where=room > 0)
        return np.asarray(distances.min(axis=1), np.float64)

    def entropy(self, output: Output) -> Floats:
        """The mean of the classes' entropies, in bits."""
        values = self._finite(output)
        both = np.stack([values, 1.0 - values])
        return np.asarray(-(both * np.log2(np.where(both > 0, both, 1.0))).sum(axis=0).mean(axis=1))

    def scalars(self, output: Output) -> dict[str, Floats]:  # noqa: ARG002
        return {}

    def _finite(self, output: Output) -> Floats:
        """A model that answers NaN knows nothing: such rows lie on the thresholds."""
        values = np.asarray(output, np.float64)
        return np.where(np.isfinite(values).all(axis=1, keepdims=True), values, self._thresholds)


def summary(thresholds: tuple[float, ...]) -> Summary:
    """Reads the probabilities of K classes that do not exclude each other."""
    return _Classes(thresholds)
