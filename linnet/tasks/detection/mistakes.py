"""What is wrong with boxes, by kind, and how an image's objects make it hard.

The kinds are those of Bolya et al., "TIDE" (ECCV 2020), but for a box that is both of another class and poor,
which counts as poor here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linnet.tasks.detection.answer import CLASS, SCORE
from linnet.tasks.detection.boxes import MATCH, Floats, overlaps
from linnet.tasks.detection.found import Found
from linnet.tasks.detection.precision import assigned

Counts = npt.NDArray[np.int64]
Strings = npt.NDArray[np.str_]
MISSED, DUPLICATE, WRONG_CLASS, POOR, BACKGROUND = KINDS = (
    "missed object",
    "duplicate",
    "wrong class",
    "poor box",
    "background",
)
_TOUCHES = 0.1
"""Overlap below which a box has nothing to do with an object."""
_MANY = 4
"""Objects from which on images are one group."""


def mistakes(found: Found) -> dict[str, Counts]:
    """Mistakes by kind, [N] each, among the boxes that are answered.

    A box that is no hit at an overlap of 0.5 is a duplicate where its object has a hit; else of a wrong class
    where it overlaps an object of another one by so much; else poor from an overlap of 0.1 on; else it is of
    the background. An object is missed where neither a hit is, nor a box that is wrong or poor.
    """
    counts = {kind: np.zeros(found.samples, np.int64) for kind in KINDS}
    for row in np.flatnonzero(found.finite):
        objects = found.targets[row][found.targets[row, :, 0] >= 0].astype(np.float64)
        boxes = found.output[row][found.answered[row]]
        for kind, count in _of_image(boxes, objects).items():
            counts[kind][row] = count
    return counts


def _of_image(boxes: Floats, objects: Floats) -> dict[str, int]:
    boxes = boxes[np.argsort(-boxes[:, SCORE], kind="stable")]
    hit = np.full(len(boxes), -1)
    for number in np.unique(boxes[:, CLASS]):
        own, there = np.flatnonzero(boxes[:, CLASS] == number), np.flatnonzero(objects[:, 0] == number)
        chosen = assigned(boxes[own, :4], objects[there, 1:], np.array([MATCH]))[0]
        hit[own[chosen >= 0]] = there[chosen[chosen >= 0]]
    shared = overlaps(boxes[:, :4], objects[:, 1:])
    same = boxes[:, CLASS, None] == objects[None, :, 0]
    count, touched = dict.fromkeys(KINDS, 0), set(hit[hit >= 0].tolist())
    for box in np.flatnonzero(hit < 0):
        near = shared[box]
        if (near[same[box]] >= MATCH).any():
            kind = DUPLICATE
        elif (near >= MATCH).any():
            kind = WRONG_CLASS
        else:
            kind = POOR if near.max(initial=0.0) >= _TOUCHES else BACKGROUND
        if kind in (WRONG_CLASS, POOR):
            touched.add(int(near.argmax()))
        count[kind] += 1
    count[MISSED] = len(objects) - len(touched)
    return count


def groups(found: Found) -> dict[str, Strings]:
    """Images by how many objects they have, and by how small the smallest is: thirds of the images, [N] each.

    The size of an object is the root of its box's area, as a share of the image's.
    """
    there = found.targets[..., 0] >= 0
    number = there.sum(axis=1)
    sides = found.targets[..., 1:].astype(np.float64)
    area = (sides[..., 2] - sides[..., 0]) * (sides[..., 3] - sides[..., 1])
    smallest = np.sqrt(np.where(there, area, np.inf).min(axis=1, initial=np.inf))
    some = number > 0
    edges = np.quantile(smallest[some], [1 / 3, 2 / 3]) if some.any() else np.zeros(2)
    words = np.array(
        [
            f"below {edges[0]:.0%} of the image",
            f"{edges[0]:.0%} to {edges[1]:.0%}",
            f"from {edges[1]:.0%} on",
            "no object",
        ]
    )
    third = np.where(some, np.searchsorted(edges, smallest, side="right"), 3)
    named = np.where(number >= _MANY, f"{_MANY} or more", number.astype(np.str_))
    return {"objects": named, "smallest object": words[third]}
