"""The classes whose probabilities reach their thresholds; there may be none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.tasks.answer import Answer, Listed, Output
from linnet.tasks.multilabel.target import TARGET
from linnet.tasks.probabilities import Probabilities

USUAL = 0.5
"""Threshold where none was chosen."""


class _Classes(Probabilities):
    def __init__(self, classes: tuple[str, ...], thresholds: tuple[float, ...]) -> None:
        super().__init__(classes)
        self._thresholds = np.asarray(thresholds or (USUAL,) * len(classes), np.float32)

    def problem(self, output: Output) -> str:
        # One comparison catches NaN, too: it is in no range.
        fits = ((output >= 0) & (output <= 1)).all()
        return "" if fits else "NaN, or not between 0 and 1"

    def labels(self, output: Output) -> list[str]:
        return [TARGET.decode(row, self._classes) for row in self.named(output)]

    def named(self, output: Output) -> npt.NDArray[np.bool_]:
        named: npt.NDArray[np.bool_] = output >= self._thresholds
        return named

    def confidence(self, output: Output) -> npt.NDArray[np.float32]:
        """As sure as of the class that it is least sure of."""
        named = self.named(output)
        sure: npt.NDArray[np.float32] = np.where(named, output, 1 - output).min(axis=1, initial=1.0)
        return sure

    def listed(self, row: Output) -> Listed:
        named = np.flatnonzero(row >= self._thresholds)
        order = named[(-row[named]).argsort(kind="stable")]
        return [{"class": self._classes[k], "probability": float(row[k])} for k in order]

    def said(self, listed: Sequence[Mapping[str, Any]]) -> str:
        return TARGET.label([str(one["class"]) for one in listed])


def answer(classes: tuple[str, ...], thresholds: tuple[float, ...]) -> Answer:
    """Reads the probabilities of K classes that do not exclude each other."""
    return _Classes(classes, thresholds)
