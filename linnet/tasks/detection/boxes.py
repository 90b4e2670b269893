"""Boxes and their one text: `[["Bag",0.1,0.2,0.5,0.75]]`, left, top, right and bottom in shares of the image.

Six decimals tell pixels apart in images of up to half a million pixels a side.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
DIGITS = 6
MATCH = 0.5
"""Least overlap (IoU) of two boxes that mean the same object."""
_ROUNDING = 1e-4
"""A side may stand outside the image by this much, as exports round; it is put on the edge."""


class Box(NamedTuple):
    """One object: its class and the sides of its box in shares of the image's."""

    name: str
    left: float
    top: float
    right: float
    bottom: float


def text_of(boxes: Iterable[Box]) -> str:
    """The text of a label: sorted, the same box once."""
    rounded = {Box(box.name, *(round(side, DIGITS) + 0.0 for side in box[1:])) for box in boxes}
    return json.dumps([list(box) for box in sorted(rounded)], separators=(",", ":"), ensure_ascii=False)


def boxes_of(text: str) -> list[Box]:
    """The boxes of a text that `text_of` wrote."""
    return [Box(*one) for one in json.loads(text)]


def checked(listed: Any) -> list[Box]:
    """Boxes from a list of lists of a name and four numbers.

    Raises:
        ValueError: what is wrong with it: no such list, a box outside the image, without area, or twice.
    """
    if not isinstance(listed, list | tuple):
        raise ValueError(f"the label {str(listed)[:60]!r}, which is no list of boxes")
    found: list[Box] = []
    for one in listed:
        if not isinstance(one, list | tuple) or len(one) != 5 or not isinstance(one[0], str):
            raise ValueError(f"the box {str(one)[:80]}, which is not a class and four numbers")
        found.append(inside(Box(one[0].strip(), *_numbers(one))))
    if len({text_of([box]) for box in found}) < len(found):
        twice = next(box for place, box in enumerate(found) if box in found[:place])
        raise ValueError(f"the same box of {twice.name!r} twice: {list(twice)}")
    return found


def inside(box: Box) -> Box:
    """The box, its sides put on the image's edges where rounding left them outside.

    Raises:
        ValueError: it is outside the image, or has no area.
    """
    sides = np.asarray(box[1:], np.float64)
    if not np.isfinite(sides).all() or (sides < -_ROUNDING).any() or (sides > 1 + _ROUNDING).any():
        raise ValueError(f"a box of {box.name!r} outside the image: {[round(s, 6) for s in box[1:]]}")
    left, top, right, bottom = np.round(np.clip(sides, 0.0, 1.0), DIGITS).tolist()
    if right <= left or bottom <= top:
        raise ValueError(f"a box of {box.name!r} without area: {[left, top, right, bottom]}")
    return Box(box.name, left, top, right, bottom)


def _numbers(one: Sequence[Any]) -> list[float]:
    if any(isinstance(side, bool) or not isinstance(side, int | float) for side in one[1:]):
        raise ValueError(f"the box {str(list(one))[:80]}, whose sides are not all numbers")
    return [float(side) for side in one[1:]]


def overlaps(first: Floats, second: Floats) -> Floats:
    """Intersection over union of boxes [A, 4] and [B, 4]: [A, B]."""
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    one, other = (np.clip(some[:, 2:] - some[:, :2], 0, None).prod(axis=1) for some in (first, second))
    union = one[:, None] + other[None] - shared
    found: Floats = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return found


def matched(first: Floats, second: Floats) -> list[tuple[int, int, float]]:
    """Pairs of boxes that mean the same object, with their overlaps: those that overlap the most in all."""
    if not len(first) or not len(second):
        return []
    found = overlaps(first, second)
    found[found < MATCH] = 0.0
    if (found > 0).sum(axis=0).max() <= 1 and (found > 0).sum(axis=1).max() <= 1:
        pairs = np.argwhere(found > 0).tolist()
    else:
        from scipy.optimize import linear_sum_assignment  # a server mostly does without

        pairs = [list(pair) for pair in zip(*linear_sum_assignment(-found), strict=True)]
    return [(int(a), int(b), float(found[a, b])) for a, b in pairs if found[a, b] > 0]


def quality(first: Sequence[Box], second: Sequence[Box]) -> float:
    """How far two sets of boxes say the same, in [0, 1]: 1 for none and none.

    Twice the overlaps of the matched boxes, of equal classes and with an IoU of at least 0.5, over the number
    of boxes: the panoptic quality of Kirillov et al., "Panoptic Segmentation" (CVPR 2019), of one image. It
    is F1 at IoU 0.5 times the mean overlap of what is found, so that it sees boxes that are missed, too many,
    or in the wrong place.
    """
    if not first and not second:
        return 1.0
    shared = sum(overlap for *_, overlap in matched_boxes(first, second))
    return 2.0 * shared / (len(first) + len(second))


def matched_boxes(first: Sequence[Box], second: Sequence[Box]) -> list[tuple[int, int, float]]:
    """`matched` of boxes of equal classes."""
    groups: dict[str, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
    for side, boxes in enumerate((first, second)):
        for place, box in enumerate(boxes):
            groups[box.name][side].append(place)
    found = []
    for one, other in groups.values():
        pairs = matched(_sides(first, one), _sides(second, other))
        found += [(one[a], other[b], overlap) for a, b, overlap in pairs]
    return found


def _sides(boxes: Sequence[Box], places: list[int]) -> Floats:
    return np.array([boxes[place][1:] for place in places], np.float64).reshape(-1, 4)
