"""Boxes with scores, of which those are answered whose scores reach the thresholds of their classes.

The output is float32 [N, 100, 6]: left, top, right, bottom in shares of the image, score, class number; the
surest first, and zeros where there is no more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.tasks.answer import Answer, ByClass, Listed, Output
from linnet.tasks.detection.boxes import Box, text_of
from linnet.tasks.detection.target import MOST

USUAL = 0.3
"""Threshold where none was chosen."""
FAINT = 0.05
"""Scores below this are no part of what two outputs must have in common."""
_ROUNDING = 1e-5
"""Scores that were scaled may be out of order by so little."""
SCORE, CLASS = 4, 5
"""Columns."""


class _Boxes:
    output_name = "detections"

    def __init__(self, classes: tuple[str, ...], thresholds: tuple[float, ...]) -> None:
        self._classes = classes
        self._thresholds = np.asarray(thresholds or (USUAL,) * len(classes), np.float32)

    def row_shape(self, height: int, width: int) -> tuple[int, ...]:  # noqa: ARG002  of any size
        return MOST, 6

    def problem(self, output: Output) -> str:
        if not ((output[..., :CLASS] >= 0) & (output[..., :CLASS] <= 1)).all():
            return "NaN, or a box or score not between 0 and 1"
        number = output[..., CLASS]
        if not ((number == np.round(number)) & (number >= 0) & (number < max(len(self._classes), 1))).all():
            return f"a class number that is none of {len(self._classes)}"
        rises = np.diff(output[..., SCORE], axis=1).max(initial=0.0) > _ROUNDING
        return "scores that are not sorted" if rises else ""

    def labels(self, output: Output) -> list[str]:
        return [
            text_of(
                Box(self._classes[int(one[CLASS])], *(float(side) for side in one[:4]))
                for one in row[there]
                if one[2] > one[0] and one[3] > one[1]
            )
            for row, there in zip(output, self._there(output), strict=True)
        ]

    def named(self, output: Output) -> npt.NDArray[np.bool_]:
        there = self._there(output)[..., None] & (output[..., CLASS, None] == np.arange(len(self._classes)))
        named: npt.NDArray[np.bool_] = there.any(axis=1)
        return named

    def by_class(self, output: Output) -> ByClass:
        """The score of the surest box of each class."""
        own = output[..., CLASS, None] == np.arange(len(self._classes))
        scores: ByClass = np.where(own, output[..., SCORE, None], 0.0).max(axis=1, initial=0.0)
        return scores

    def confidence(self, output: Output) -> npt.NDArray[np.float32]:
        """The mean score of what is answered; where nothing is, how unsure the surest box is."""
        there, scores = self._there(output), output[..., SCORE]
        count = there.sum(axis=1)
        mean = np.where(there, scores, 0.0).sum(axis=1) / np.maximum(count, 1)
        sure: npt.NDArray[np.float32] = np.where(count > 0, mean, 1.0 - scores.max(axis=1, initial=0.0))
        return sure.astype(np.float32)

    def difference(self, first: Output, second: Output) -> float:
        """Of boxes that are more than faint, each with the nearest of its class in the other output."""
        return max((_apart(one, other) for one, other in zip(first, second, strict=True)), default=0.0)

    def in_classes(self, output: Output, classes: tuple[str, ...]) -> Output:
        index = {name: k for k, name in enumerate(classes)}
        place = np.array([index.get(name, -1) for name in self._classes] or [-1], np.int64)
        moved = np.array(output, np.float64)
        number = place[moved[..., CLASS].astype(np.int64)]
        moved[..., CLASS] = np.maximum(number, 0)
        moved[number < 0] = 0.0
        order = np.argsort(-moved[..., SCORE], axis=1, kind="stable")
        return np.take_along_axis(moved, order[..., None], axis=1)

    def packed(self, output: Output) -> list[npt.NDArray[np.float32]]:
        """The boxes that are more than faint."""
        return [row[row[:, SCORE] >= FAINT].astype(np.float32).ravel() for row in output]

    def unpacked(self, values: npt.NDArray[np.float32], ends: npt.NDArray[np.int64]) -> Output:
        lengths = np.diff(ends, prepend=0)
        if (lengths % 6).any() or (lengths > MOST * 6).any():
            raise ValueError("not lists of boxes of six numbers")
        found = np.zeros((len(ends), MOST, 6), np.float32)
        for row, (end, length) in enumerate(zip(ends.tolist(), lengths.tolist(), strict=True)):
            found[row, : length // 6] = values[end - length : end].reshape(-1, 6)
        if self._classes and (found[..., CLASS] >= len(self._classes)).any():
            raise ValueError("a class number of another model")
        return found

    def listed(self, row: Output) -> Listed:
        return [
            {
                "class": self._classes[int(one[CLASS])],
                "probability": float(one[SCORE]),
                "box": [float(side) for side in one[:4]],
            }
            for one in row[self._there(row[None])[0]]
        ]

    def off(self, listed: Sequence[Mapping[str, Any]], row: Output) -> float:
        number = {name: k for k, name in enumerate(self._classes)}
        told = [[*one["box"], one["probability"], number[one["class"]]] for one in listed]
        answered = row[self._there(row[None])[0]]
        return _apart(np.array(told, np.float64).reshape(-1, 6), answered)

    def said(self, listed: Sequence[Mapping[str, Any]]) -> str:
        return text_of(Box(str(one["class"]), *map(float, one["box"])) for one in listed)

    def _there(self, output: Output) -> npt.NDArray[np.bool_]:
        """Which boxes are answered: [N, 100]."""
        bound = np.append(self._thresholds, np.float32(2.0))[output[..., CLASS].astype(np.int64)]
        there: npt.NDArray[np.bool_] = (output[..., SCORE] > 0) & (output[..., SCORE] >= bound)
        return there


def _apart(first: Output, second: Output) -> float:
    """The largest difference of a box from the nearest one of its class, either way; its score if none is."""
    largest = 0.0
    for one, other in ((first, second), (second, first)):
        for box in one[one[:, SCORE] >= FAINT]:
            same = other[(other[:, CLASS] == box[CLASS]) & (other[:, SCORE] > 0)]
            nearest = (
                np.abs(same[:, :CLASS] - box[:CLASS]).max(axis=1, initial=0.0).min(initial=float(box[SCORE]))
            )
            largest = max(largest, float(nearest))
    return largest


def answer(classes: tuple[str, ...], thresholds: tuple[float, ...]) -> Answer:
    """Reads the boxes of K classes."""
    return _Boxes(classes, thresholds)
