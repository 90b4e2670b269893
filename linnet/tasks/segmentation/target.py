"""A label is a map of classes: `masks` has the text; uint8 [N, H, W] in arrays, 0 for background."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.tasks.segmentation.masks import MOST_CLASSES, of_indices, read, resized
from linnet.tasks.target import Target, Targets, UnknownClass


class _Masks:
    several = True

    def names(self, cell: Any) -> tuple[str, ...]:
        return tuple(read("" if cell is None else str(cell)).runs)

    def problem_of(self, name: str) -> str:  # noqa: ARG002  every name is one in JSON
        return ""

    def cell(self, label: str) -> str:
        return label

    def classes(self, label: str) -> tuple[str, ...]:
        return tuple(read(label).runs)

    def known(self, labels: Sequence[str], classes: Sequence[str]) -> list[str]:
        return [label for label in labels if set(self.classes(label)) <= set(classes)]

    def encode(self, labels: Sequence[str], classes: Sequence[str], height: int, width: int) -> Targets:
        found = np.zeros((len(labels), height, width), np.uint8)
        known = set(classes)
        for row, label in enumerate(labels):
            one = read(label)
            if other := sorted(one.runs.keys() - known):
                raise UnknownClass(row, other[0])
            found[row] = resized(one.indices(classes), height, width)
        return found

    def decode(self, row: Any, classes: Sequence[str]) -> str:
        return of_indices(row, classes).text

    def problem(self, targets: Targets, classes: int) -> str:
        if targets.dtype != np.uint8 or targets.ndim != 3 or classes > MOST_CLASSES:
            return f"{targets.dtype} {list(targets.shape)} are no maps of {classes} classes"
        return "holds a pixel of no class" if targets.size and int(targets.max()) > classes else ""

    def groups(self, targets: Targets) -> npt.NDArray[np.int64]:
        """The rarest class that a sample has; one more than the last class where it has none."""
        last = int(targets.max(initial=0))
        there = self.matrix(targets, last)
        rarity = np.where(there, there.sum(axis=0), len(targets) + 1)
        if not last:
            return np.zeros(len(targets), np.int64)
        return np.where(there.any(axis=1), rarity.argmin(axis=1), last).astype(np.int64)

    def matrix(self, targets: Targets, classes: int) -> npt.NDArray[np.bool_]:
        flat = targets.reshape(len(targets), -1)
        found = np.zeros((len(targets), classes + 1), np.bool_)
        found[np.repeat(np.arange(len(flat)), flat.shape[1]), flat.ravel()] = True
        return found[:, 1:]

    def counts(self, targets: Targets, classes: int) -> npt.NDArray[np.int64]:
        counts: npt.NDArray[np.int64] = self.matrix(targets, classes).sum(axis=0, dtype=np.int64)
        return counts


TARGET: Target = _Masks()  # type: ignore[assignment]
