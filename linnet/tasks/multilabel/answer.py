"""The classes whose probabilities reach their thresholds; there may be none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.tasks.answer import Answer, Listed, Probabilities
from linnet.tasks.multilabel.target import TARGET

USUAL = 0.5
"""Threshold where none was chosen."""


class _Classes:
    def __init__(self, classes: tuple[str, ...], thresholds: tuple[float, ...]) -> None:
        self._classes = classes
        self._thresholds = np.asarray(thresholds or (USUAL,) * len(classes), np.float32)

    def problem(self, probabilities: Probabilities) -> str:
        # One comparison catches NaN, too: it is in no range.
        fits = ((probabilities >= 0) & (probabilities <= 1)).all()
        return "" if fits else "NaN, or not between 0 and 1"

    def labels(self, probabilities: Probabilities) -> list[str]:
        return [TARGET.decode(row, self._classes) for row in self.named(probabilities)]

    def named(self, probabilities: Probabilities) -> npt.NDArray[np.bool_]:
        named: npt.NDArray[np.bool_] = probabilities >= self._thresholds
        return named

    def confidence(self, probabilities: Probabilities) -> npt.NDArray[np.float32]:
        """As sure as of the class that it is least sure of."""
        named = self.named(probabilities)
        sure: npt.NDArray[np.float32] = np.where(named, probabilities, 1 - probabilities).min(
            axis=1, initial=1.0
        )
        return sure

    def listed(self, probabilities: Probabilities) -> Listed:
        named = np.flatnonzero(probabilities >= self._thresholds)
        order = named[(-probabilities[named]).argsort(kind="stable")]
        return [{"class": self._classes[k], "probability": float(probabilities[k])} for k in order]

    def said(self, listed: Sequence[Mapping[str, Any]]) -> str:
        return TARGET.label([str(one["class"]) for one in listed])


def answer(classes: tuple[str, ...], thresholds: tuple[float, ...]) -> Answer:
    """Reads the probabilities of K classes that do not exclude each other."""
    return _Classes(classes, thresholds)
