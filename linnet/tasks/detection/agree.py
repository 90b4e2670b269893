"""Two answers agree as far as their boxes do: see `boxes.quality`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from linnet.tasks.detection.boxes import Box, boxes_of, matched_boxes, quality, text_of
from linnet.tasks.detection.target import MOST


@lru_cache(65_536)
def agreement(first: str, second: str) -> float:
    """The quality of one label's boxes, held against the other's."""
    return quality(boxes_of(first), boxes_of(second))


def consensus(labels: Sequence[str]) -> str | None:
    """The boxes that more than half of the people drew, each side in the middle; None where half drew one.

    Also where they are more than are learned from.
    """
    groups: list[list[Box]] = []
    for label in sorted(labels):
        boxes, firsts = boxes_of(label), [group[0] for group in groups]
        taken = {there: here for here, there, _ in matched_boxes(boxes, firsts)}
        for there, here in taken.items():
            groups[there].append(boxes[here])
        groups += [[box] for here, box in enumerate(boxes) if here not in taken.values()]
    if any(2 * len(group) == len(labels) for group in groups):
        return None
    held = [group for group in groups if 2 * len(group) > len(labels)]
    if len(held) > MOST:
        return None
    return text_of(
        Box(group[0].name, *np.median([box[1:] for box in group], axis=0).tolist()) for group in held
    )
