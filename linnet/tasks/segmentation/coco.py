"""A mask as an annotation of COCO says it: polygons, runs as numbers, or runs as a text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from linnet.vision import rle


def mask_of_coco(about: Mapping[str, Any], height: int, width: int) -> rle.Mask:
    """The pixels that an annotation marks in an image of that size.

    Raises:
        ValueError: it marks none, or its `segmentation` is damaged or of another size.
    """
    given = about.get("segmentation")
    if not given:
        raise ValueError("an annotation without a segmentation; a box says not which pixels")
    if isinstance(given, Mapping):
        return _of_runs(given, height, width)
    if not isinstance(given, list) or not all(isinstance(polygon, list) for polygon in given):
        raise ValueError(f"a segmentation that is neither polygons nor runs: {given!r:.60}")
    found = np.zeros((height, width), np.bool_)
    for polygon in given:
        if not all(isinstance(value, int | float) for value in polygon):
            raise ValueError(f"a polygon with what is no number: {polygon!r:.60}")
        found |= rle.fill(polygon, height, width)
    return found


def _of_runs(given: Mapping[str, Any], height: int, width: int) -> rle.Mask:
    size, counts = given.get("size"), given.get("counts")
    if size != [height, width]:
        raise ValueError(f"runs for the size {size!r:.40}, and the image is {height} x {width}")
    if isinstance(counts, str):
        return rle.decode(counts, height, width)
    if isinstance(counts, list) and all(type(value) is int for value in counts):
        return rle.mask_of(counts, height, width)
    raise ValueError(f"runs that are neither numbers nor a text: {counts!r:.60}")
