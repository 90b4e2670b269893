"""How sure a segmentation is, and how much of an image it covers."""

from __future__ import annotations

import numpy as np

from linnet.tasks.answer import Output
from linnet.tasks.segmentation.answer import CLASS, PROBABILITY
from linnet.tasks.summary import Floats, Summary


class _Masks:
    def margin(self, output: Output) -> Floats:
        """How far the pixels are from a tie, of the half of them that are surest of least."""
        sure = np.sort(self._sure(output), axis=1)[:, : max(1, output[0, 0].size // 10) if len(output) else 1]
        return np.asarray(np.clip(2 * sure.mean(axis=1) - 1, 0, 1), np.float64)

    def entropy(self, output: Output) -> Floats:
        """The mean of the pixels' entropies, in bits, as of being right or wrong."""
        both = np.stack([self._sure(output), 1 - self._sure(output)])
        return np.asarray(-(both * np.log2(np.where(both > 0, both, 1.0))).sum(axis=0).mean(axis=1))

    def scalars(self, output: Output) -> dict[str, Floats]:
        """The share of an image that is no background, and how many classes are in it."""
        named = np.nan_to_num(output[:, CLASS]).astype(np.int64).reshape(len(output), -1)
        classes = [len(np.unique(row[row > 0])) for row in named]
        return {"area": (named > 0).mean(axis=1), "classes": np.asarray(classes, np.float64)}

    def _sure(self, output: Output) -> Floats:
        """A model that answers NaN knows nothing: such pixels are tied."""
        sure = np.asarray(output[:, PROBABILITY], np.float64).reshape(len(output), -1)
        return np.where(np.isfinite(sure), np.clip(sure, 0.5, 1), 0.5)


def summary(thresholds: tuple[float, ...]) -> Summary:  # noqa: ARG001  has none
    """Reads maps of classes."""
    return _Masks()
