"""Outputs that are a probability a class: what answers about one and about several classes have in common."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.tasks.answer import ByClass, Output


class Probabilities:
    """Reads output float [N, K], in the order of `classes`."""

    output_name = "probabilities"

    def __init__(self, classes: tuple[str, ...]) -> None:
        self._classes = classes

    def row_shape(self, height: int, width: int) -> tuple[int, ...]:  # noqa: ARG002  of any size
        """[K]"""
        return (len(self._classes),)

    def by_class(self, output: Output) -> ByClass:
        """The output itself."""
        return output

    def difference(self, first: Output, second: Output) -> float:
        """Of a probability."""
        return float(np.abs(first - second).max())

    def in_classes(self, output: Output, classes: tuple[str, ...]) -> Output:
        """A class that the model does not know is never there."""
        index = {name: k for k, name in enumerate(classes)}
        place = np.array([index.get(name, -1) for name in self._classes], np.int64)
        shared = np.flatnonzero(place >= 0)
        matched = np.zeros((len(output), len(classes)))
        matched[:, place[shared]] = output[:, shared]
        return matched

    def packed(self, output: Output) -> list[npt.NDArray[np.float32]]:
        """The rows."""
        return list(output)

    def unpacked(self, values: npt.NDArray[np.float32], ends: npt.NDArray[np.int64]) -> Output:
        """Rows of K values each."""
        if not np.array_equal(ends, np.arange(1, len(ends) + 1) * len(self._classes)):
            raise ValueError(f"not {len(self._classes)} probabilities an image")
        return np.ascontiguousarray(values.reshape(len(ends), len(self._classes)))

    def off(self, listed: Sequence[Mapping[str, Any]], row: Output) -> float:
        """Of the probability of a class that is told."""
        return max(
            (abs(one["probability"] - float(row[self._classes.index(one["class"])])) for one in listed),
            default=0.0,
        )
