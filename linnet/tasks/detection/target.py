"""A label is a set of boxes, as `boxes` writes them; float32 [N, 100, 5] in arrays.

A row of the array is class number, left, top, right and bottom in shares of the image, or -1 and zeros where
there is no more box. No box is `[]`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.config import DataConfig
from linnet.errors import ConfigError
from linnet.tasks.detection.boxes import Box, boxes_of, checked, text_of
from linnet.tasks.target import Cohorts, Object, Target, Targets, UnknownClass, by_size, rarest_classes

MOST = 100
"""Boxes of an image, as COCO counts them."""
NOTHING = -1.0
"""Class number of a row without a box."""


class _Boxes:
    spatial = several = True
    mark = "bbox"
    gates = """\
min_accuracy = 0.3  # quality of an image's boxes: overlaps of what is found, over all
min_macro_f1 = 0.3
min_map = 0.15  # over overlaps of 50 to 95 %
min_map50 = 0.3
max_miss_rate = 0.7
max_false_positives = 2.0  # an image
min_worst_recall = 0.0  # a rare class may have too few objects for a floor
max_ece = 0.2
max_cohort_gap = 0.35
"""
    training = """\
epochs = 20
batch_size = 32
optimizer = "adamw"
learning_rate = 0.002
backbone_rate = 0.5  # of a pretrained backbone, as a share of that
weight_decay = 0.01
schedule = "cosine"
clip_norm = 5.0
label_smoothing = 0.0  # boxes have none
shift = 4  # boxes move with the image
flip = true  # false where left and right tell classes apart
"""

    def check(self, config: DataConfig) -> None:
        if config.fit != "squash":
            problem = f"is '{config.fit}', and boxes are told in shares of the whole image"
            raise ConfigError("data.fit", problem, 'set it to "squash"')

    def read(self, cell: Any) -> str:
        if isinstance(cell, str):
            text = cell.strip()
            if not text:
                raise ValueError("no label; write [] where there is no object")
            try:
                cell = json.loads(text)
            except ValueError as error:
                raise ValueError(f"the label {text[:60]!r}, which is no list of boxes in JSON") from error
        elif isinstance(cell, np.ndarray):
            cell = cell.tolist()
        elif cell is None:
            raise ValueError("no label; write [] where there is no object")
        boxes = checked(cell)
        _refuse_more(len(boxes))
        return text_of(boxes)

    def renamed(self, label: str, name_of: Callable[[str], str]) -> str:
        return text_of(box._replace(name=name_of(box.name)) for box in boxes_of(label))

    def joined(self, labels: Sequence[str]) -> str:
        text = text_of(box for label in labels for box in boxes_of(label))
        _refuse_more(len(boxes_of(text)))
        return text

    def problem_of(self, name: str) -> str:  # noqa: ARG002
        return ""

    def cell(self, label: str) -> str:
        return label

    def label(self, names: Sequence[str]) -> str:
        """Boxes over the whole image: of objects whose place nobody told."""
        return text_of(Box(name, 0.0, 0.0, 1.0, 1.0) for name in names)

    def of_objects(self, objects: Sequence[Object], height: int, width: int) -> str:
        found = []
        for name, about in objects:
            box = about.get("bbox")
            if about.get("iscrowd"):
                raise ValueError(f"a crowd of {name!r} (iscrowd), which is no box of one object")
            if not isinstance(box, list) or len(box) != 4 or not all(type(s) in (int, float) for s in box):
                raise ValueError(f"{name!r} without an upright box, the same for all who drew it")
            left, top, across, down = box
            sides = left / width, top / height, (left + across) / width, (top + down) / height
            found.append([name, *map(float, sides)])
        return self.read(found)

    def misfit(self, label: str, height: int, width: int) -> str:  # noqa: ARG002  shares fit any size
        return ""

    def classes(self, label: str) -> tuple[str, ...]:
        return tuple(dict.fromkeys(box.name for box in boxes_of(label)))

    def known(self, labels: Sequence[str], classes: Sequence[str]) -> list[str]:
        return [label for label in labels if set(self.classes(label)) <= set(classes)]

    def encode(
        self,
        labels: Sequence[str],
        classes: Sequence[str],
        height: int,  # noqa: ARG002
        width: int,  # noqa: ARG002
    ) -> Targets:
        index = {name: number for number, name in enumerate(classes)}
        found = np.zeros((len(labels), MOST, 5), np.float32)
        found[:, :, 0] = NOTHING
        for row, label in enumerate(labels):
            boxes = boxes_of(label)
            _refuse_more(len(boxes))
            for place, box in enumerate(boxes):
                if box.name not in index:
                    raise UnknownClass(row, box.name)
                found[row, place] = (index[box.name], *box[1:])
        return found

    def decode(self, row: Any, classes: Sequence[str]) -> str:
        there = np.asarray(row, np.float64)
        there = there[there[:, 0] >= 0]
        return text_of(Box(classes[int(one[0])], *one[1:].tolist()) for one in there)

    def problem(self, targets: Targets, classes: int) -> str:
        if targets.dtype != np.float32 or targets.ndim != 3 or targets.shape[1:] != (MOST, 5):
            return f"{targets.dtype} {list(targets.shape)} are no boxes: float32 [N, {MOST}, 5]"
        number, sides = targets[..., 0], targets[..., 1:]
        if not (number == number.round()).all() or (number >= classes).any():
            return f"holds a class number that is none of {classes}"
        there = number >= 0
        if not np.isfinite(sides).all() or (sides < 0).any() or (sides > 1).any():
            return "holds a box outside its image"
        empty = (sides[..., 2] <= sides[..., 0]) | (sides[..., 3] <= sides[..., 1])
        return "holds a box without area" if (there & empty).any() else ""

    def groups(self, targets: Targets) -> npt.NDArray[np.int64]:
        """The rarest class that an image has; one more than the last class where it has none."""
        return rarest_classes(self.matrix(targets, int(targets[..., 0].max(initial=0)) + 1))

    def matrix(self, targets: Targets, classes: int) -> npt.NDArray[np.bool_]:
        there: npt.NDArray[np.bool_] = (targets[..., 0, None] == np.arange(classes)).any(axis=1)
        return there

    def cohorts(self, targets: Targets) -> Cohorts:
        """By the smallest box of an image."""
        areas = (targets[..., 3] - targets[..., 1]) * (targets[..., 4] - targets[..., 2])
        least = np.where(targets[..., 0] >= 0, areas, np.inf).min(axis=1, initial=np.inf)
        return by_size(np.where(np.isfinite(least), least, np.nan))

    def counts(self, targets: Targets, classes: int) -> npt.NDArray[np.int64]:
        counts: npt.NDArray[np.int64] = self.matrix(targets, classes).sum(axis=0, dtype=np.int64)
        return counts


def _refuse_more(boxes: int) -> None:
    """Raises ValueError: an image has more boxes than are learned from; which to leave out nobody knows."""
    if boxes > MOST:
        raise ValueError(f"{boxes} boxes; at most {MOST} are learned from")


TARGET: Target = _Boxes()
