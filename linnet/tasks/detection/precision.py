"""Average precision of boxes as COCO computes it, also of images that weigh differently, for the bootstrap.

Lin et al., "Microsoft COCO" (2014), and pycocotools' COCOeval, whose rules these are: at each overlap the
surest choose first, each the free object that it overlaps most; precision is made monotone and
read at 101 recalls; the 100 surest boxes of a class in an image count; classes without objects do not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linnet.tasks.detection.boxes import Floats, overlaps

OVERLAPS = np.linspace(0.5, 0.95, 10)
"""Least overlaps (IoU) at which boxes are right."""
_RECALLS = np.linspace(0.0, 1.0, 101)
_MOST = 100
_CHUNK = 2_000_000
"""Weights held at a time."""


@dataclass(frozen=True)
class ClassBoxes:
    """One class: D boxes that were found, the surest first, and how many objects there are."""

    image: npt.NDArray[np.int64]
    """[D]"""
    score: Floats
    """[D]"""
    right: npt.NDArray[np.bool_]
    """Whether a box is right at each of T overlaps: [T, D]."""
    objects: npt.NDArray[np.int64]
    """Objects an image: [N]."""


def assigned(found: Floats, objects: Floats, least: Floats = OVERLAPS) -> npt.NDArray[np.int64]:
    """The object that each box stands for at each overlap, -1 for none: [T, D].

    `found` [D, 4], the surest first; `objects` [G, 4].
    """
    chosen = np.full((len(least), len(found)), -1, np.int64)
    if not len(found) or not len(objects):
        return chosen
    shared = overlaps(found, objects)
    for t, bound in enumerate(least):
        free = np.ones(len(objects), bool)
        for d, row in enumerate(shared):
            fitting = np.where(free, row, -1.0)
            best = len(fitting) - 1 - int(fitting[::-1].argmax())  # of equal ones the last, as COCOeval
            if fitting[best] >= min(bound, 1 - 1e-10):
                chosen[t, d] = best
                free[best] = False
    return chosen


def class_boxes(found: list[Floats], objects: list[Floats], least: Floats = OVERLAPS) -> ClassBoxes:
    """Of one class in N images: boxes [D, 5] with their scores last, and objects [G, 4], an image each."""
    images, scores, rights = [], [], []
    for place, (some, there) in enumerate(zip(found, objects, strict=True)):
        order = np.argsort(-some[:, 4], kind="stable")[:_MOST]
        ordered = some[order]
        images.append(np.full(len(ordered), place, np.int64))
        scores.append(ordered[:, 4])
        rights.append(assigned(ordered[:, :4], there, least) >= 0)
    score = np.concatenate(scores) if scores else np.zeros(0)
    order = np.argsort(-score, kind="stable")
    return ClassBoxes(
        image=(np.concatenate(images) if images else np.zeros(0, np.int64))[order],
        score=score[order],
        right=(np.concatenate(rights, axis=1) if rights else np.zeros((len(least), 0), bool))[:, order],
        objects=np.array([len(there) for there in objects], np.int64),
    )


def average_precisions(one: ClassBoxes, weights: Floats) -> Floats:
    """Average precision at each overlap under weights of images [R, N]: [R, T]; NaN without objects."""
    total = weights @ one.objects.astype(np.float64)
    found = np.full((len(weights), len(one.right)), np.nan)
    if not one.objects.any():
        return found
    step = max(1, _CHUNK // max(len(one.score), 1))
    for start in range(0, len(weights), step):
        part = slice(start, start + step)
        drawn = weights[part][:, one.image]
        seen = np.cumsum(drawn, axis=1)
        for t, right in enumerate(one.right):
            hits = np.cumsum(drawn * right, axis=1)
            found[part, t] = _area(hits, seen, total[part])
    return found


def _area(hits: Floats, seen: Floats, total: Floats) -> Floats:
    """Mean of the monotone precision at the 101 recalls: [R]."""
    if not hits.shape[1]:
        return np.zeros(len(hits))
    precision = hits / np.maximum(seen, np.spacing(1))
    precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    recall = hits / np.maximum(total, np.spacing(1))[:, None]
    area = np.zeros(len(hits))
    for r, (rising, monotone) in enumerate(zip(recall, precision, strict=True)):
        place = np.searchsorted(rising, _RECALLS, side="left")
        reached = place < len(rising)
        area[r] = monotone[place[reached]].sum() / len(_RECALLS)
    return area
