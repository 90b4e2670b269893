"""Which class each pixel belongs to, and how likely that is.

The output is float32 [N, 2, H, W]: the class of each pixel (0 for background, k + 1 for the class k), and
its probability. All else, such as areas, is counted from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.tasks.answer import Answer, ByClass, Listed, Output
from linnet.tasks.segmentation.masks import Segmentation, of_indices, text_of

Counts = npt.NDArray[np.int64]
CLASS, PROBABILITY = 0, 1
"""The channels of an output."""
_UNLIKE = 1.0
"""Difference of two outputs that name different classes in many pixels."""
_EDGE = 0.002
"""Share of the pixels that may lie so near a tie that another machine names another class."""


class _Masks:
    output_name = "masks"

    def __init__(self, classes: tuple[str, ...]) -> None:
        self._classes = classes

    def row_shape(self, height: int, width: int) -> tuple[int, ...]:
        return 2, height, width

    def problem(self, output: Output) -> str:
        named, sure = output[:, CLASS], output[:, PROBABILITY]
        if not ((sure >= 0) & (sure <= 1)).all():
            return "NaN, or a probability that is not between 0 and 1"
        known = (named >= 0) & (named <= len(self._classes)) & (named == np.floor(named))
        return "" if known.all() else "a pixel of no class"

    def labels(self, output: Output) -> list[str]:
        return [of_indices(row[CLASS].astype(np.uint8), self._classes).text for row in output]

    def named(self, output: Output) -> npt.NDArray[np.bool_]:
        return self._pixels(output)[0][:, 1:] > 0

    def by_class(self, output: Output) -> ByClass:
        """The mean probability of the pixels that are said to be of a class; 0 where there are none."""
        return self._means(output)[:, 1:]

    def confidence(self, output: Output) -> npt.NDArray[np.float32]:
        """The mean over the classes that are named of how sure it is of their pixels; else of all pixels."""
        means, named = self._means(output), self.named(output)
        found = np.where(named, means[:, 1:], 0.0).sum(axis=1) / np.maximum(named.sum(axis=1), 1)
        return np.where(named.any(axis=1), found, means[:, 0]).astype(np.float32)

    def difference(self, first: Output, second: Output) -> float:
        """Of a probability, where both name the same class; 1 where more than single pixels differ."""
        same = first[:, CLASS] == second[:, CLASS]
        if not same.size or (~same).mean() > _EDGE:
            return _UNLIKE if same.size else 0.0
        return float(np.where(same, np.abs(first - second)[:, PROBABILITY], 0.0).max())

    def in_classes(self, output: Output, classes: tuple[str, ...]) -> Output:
        index = {name: k for k, name in enumerate(classes, 1)}
        places = np.array([0, *(index.get(name, 0) for name in self._classes)], np.float32)
        found = output.copy()
        found[:, CLASS] = places[np.nan_to_num(output[:, CLASS]).astype(np.int64)]
        return found

    def packed(self, output: Output) -> list[npt.NDArray[np.float32]]:
        """Height, width, the mean probability of each class, then runs along the rows: class and length."""
        means = self._means(output)
        return [_packed(row, mean) for row, mean in zip(output, means, strict=True)]

    def unpacked(self, values: npt.NDArray[np.float32], ends: npt.NDArray[np.int64]) -> Output:
        """Of a class's pixels each has their mean probability, so that all means are what they were."""
        starts = np.concatenate([[0], ends[:-1]])
        rows = [self._unpacked(values[a:b]) for a, b in zip(starts, ends, strict=True)]
        if len({row.shape for row in rows}) > 1:
            raise ValueError("segmentations of several sizes")
        return np.stack(rows) if rows else np.zeros((0, 2, 1, 1), np.float32)

    def listed(self, row: Output) -> Listed:
        """The classes with masks, areas and probabilities, the largest first; runs as COCO writes them."""
        pixels, means = self._pixels(row[None])[0][0], self._means(row[None])[0]
        found = of_indices(row[CLASS].astype(np.uint8), self._classes)
        total = row[CLASS].size
        order = sorted(found.runs, key=lambda name: (-pixels[self._classes.index(name) + 1], name))
        return [
            {
                "class": name,
                "probability": float(means[self._classes.index(name) + 1]),
                "area": float(pixels[self._classes.index(name) + 1] / total),
                "mask": {"size": [found.height, found.width], "counts": found.runs[name]},
            }
            for name in order
        ]

    def off(self, listed: Sequence[Mapping[str, Any]], row: Output) -> float:
        means = self._means(row[None])[0]
        own = {one["class"]: one for one in self.listed(row)}
        if own.keys() != {one["class"] for one in listed}:
            return _UNLIKE
        if any(own[one["class"]]["mask"] != one["mask"] for one in listed):
            return _UNLIKE
        gaps = (
            abs(one["probability"] - float(means[self._classes.index(one["class"]) + 1])) for one in listed
        )
        return max(gaps, default=0.0)

    def said(self, listed: Sequence[Mapping[str, Any]]) -> str:
        """Where nothing is answered, the size is unknown, and one pixel of background says the same."""
        if not listed:
            return text_of(1, 1, {})
        height, width = listed[0]["mask"]["size"]
        return Segmentation(height, width, {one["class"]: one["mask"]["counts"] for one in listed}).text

    def _pixels(self, output: Output) -> tuple[Counts, npt.NDArray[np.float64]]:
        """Pixels a class, background first, and the sum of their probabilities: [N, K + 1] each."""
        count, each = len(output), len(self._classes) + 1
        classes = np.clip(np.nan_to_num(output[:, CLASS]), 0, each - 1).astype(np.int64).reshape(count, -1)
        places = (classes + np.arange(count)[:, None] * each).ravel()
        pixels = np.bincount(places, minlength=count * each).reshape(count, each)
        sure = np.bincount(places, output[:, PROBABILITY].ravel(), minlength=count * each)
        return pixels.astype(np.int64), sure.reshape(count, each).astype(np.float64)

    def _means(self, output: Output) -> npt.NDArray[np.float64]:
        pixels, sure = self._pixels(output)
        found: npt.NDArray[np.float64] = sure / np.maximum(pixels, 1)
        return found

    def _unpacked(self, values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """One row [2, H, W].

        Raises:
            ValueError: it is none of so many classes.
        """
        head = 2 + len(self._classes) + 1
        runs = values[head:].reshape(-1, 2) if len(values) > head and (len(values) - head) % 2 == 0 else None
        if runs is None:
            raise ValueError(f"no segmentation of {len(self._classes)} classes")
        height, width = int(values[0]), int(values[1])
        classes = np.repeat(runs[:, 0].astype(np.int64), runs[:, 1].astype(np.int64))
        if len(classes) != height * width or classes.max() > len(self._classes):
            raise ValueError(f"no segmentation of {len(self._classes)} classes")
        means = values[2:head]
        found = np.stack([classes.astype(np.float32), means[classes]])
        return found.reshape(2, height, width)


def _packed(row: Output, means: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    flat = row[CLASS].ravel()
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
    runs = np.stack([flat[starts], np.diff(np.append(starts, len(flat)))], axis=1)
    return np.concatenate([row[CLASS].shape, means, runs.ravel()]).astype(np.float32)


def answer(classes: tuple[str, ...], thresholds: tuple[float, ...]) -> Answer:  # noqa: ARG001  has none
    """Reads maps of K classes."""
    return _Masks(classes)
