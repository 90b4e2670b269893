"""The likeliest class, and those that come next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.tasks.answer import Answer, Listed, Output
from linnet.tasks.probabilities import Probabilities

TOP = 3
"""Classes that an answer to an image names."""
_SUM_TOLERANCE = 1e-3
"""How far the probabilities of an image may be from adding up to one."""


class _OneClass(Probabilities):
    def problem(self, output: Output) -> str:
        # One comparison catches NaN and infinity too: they never add up to one.
        sums = np.abs(output.sum(axis=1) - 1.0) <= _SUM_TOLERANCE
        return "" if sums.all() and not (output < 0).any() else "NaN, or not summing to 1"

    def labels(self, output: Output) -> list[str]:
        return [self._classes[top] for top in output.argmax(axis=1).tolist()]

    def named(self, output: Output) -> npt.NDArray[np.bool_]:
        tops = output.argmax(axis=1) if len(output) else np.zeros(0, np.int64)
        named: npt.NDArray[np.bool_] = tops[:, None] == np.arange(output.shape[1])
        return named

    def confidence(self, output: Output) -> npt.NDArray[np.float32]:
        highest: npt.NDArray[np.float32] = output.max(axis=1, initial=0.0)
        return highest

    def listed(self, row: Output) -> Listed:
        best = (-row).argsort()[:TOP]
        return [{"class": self._classes[i], "probability": float(row[i])} for i in best]

    def said(self, listed: Sequence[Mapping[str, Any]]) -> str:
        return str(listed[0]["class"])


def answer(classes: tuple[str, ...], thresholds: tuple[float, ...]) -> Answer:  # noqa: ARG001
    """Reads the probabilities of K classes that exclude each other."""
    return _OneClass(classes)
