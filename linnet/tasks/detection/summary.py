"""How sure boxes are, how many there are, and how large."""

from __future__ import annotations

import numpy as np

from linnet.tasks.answer import Output
from linnet.tasks.detection.answer import CLASS, FAINT, SCORE, USUAL
from linnet.tasks.summary import Floats, Summary


class _Boxes:
    def __init__(self, thresholds: tuple[float, ...]) -> None:
        self._thresholds = np.asarray(thresholds or (USUAL,), np.float64)

    def margin(self, output: Output) -> Floats:
        """The least distance of a score from the threshold of its class, over what there can be."""
        scores, bound = self._scores(output)
        room = np.where(scores >= bound, 1.0 - bound, bound)
        apart = np.divide(abs(scores - bound), room, out=np.ones_like(scores), where=room > 0)
        apart = np.where(scores >= FAINT, apart, 1.0).min(axis=1, initial=1.0)
        return np.where(np.isfinite(np.asarray(output)).all(axis=(1, 2)), apart, 0.0)

    def entropy(self, output: Output) -> Floats:
        """The mean entropy, in bits, of whether each box that is more than faint is an object."""
        scores, _ = self._scores(output)
        both = np.stack([scores, 1.0 - scores])
        bits = -(both * np.log2(np.where(both > 0, both, 1.0))).sum(axis=0)
        seen = scores >= FAINT
        mean = np.where(seen, bits, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
        return np.where(np.isfinite(np.asarray(output)).all(axis=(1, 2)), mean, 1.0)

    def scalars(self, output: Output) -> dict[str, Floats]:
        """Objects an image, and the mean side of their boxes; NaN where there is none."""
        scores, bound = self._scores(output)
        there = (scores > 0) & (scores >= bound)
        sides = np.asarray(output, np.float64)
        areas = np.clip(sides[..., 2] - sides[..., 0], 0, None) * np.clip(
            sides[..., 3] - sides[..., 1], 0, None
        )
        count = there.sum(axis=1)
        total = np.where(there, np.sqrt(areas), 0.0).sum(axis=1)
        size = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
        return {"objects": count.astype(np.float64), "object_size": size}

    def _scores(self, output: Output) -> tuple[Floats, Floats]:
        values = np.nan_to_num(np.asarray(output, np.float64))
        number = np.clip(values[..., CLASS].astype(np.int64), 0, len(self._thresholds) - 1)
        return values[..., SCORE], self._thresholds[number]


def summary(thresholds: tuple[float, ...]) -> Summary:
    """Reads boxes."""
    return _Boxes(thresholds)
