"""What annotation tools mark, as COCO would tell it: boxes (left, top, width, height), polygons, masks.

Boxes of YOLO are shares of the image, as of one pixel, and those of Label Studio percent, as of a hundred.
Outlines and brushes of Label Studio come with the size of their image, and are of its pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from linnet.data.told import Told
from linnet.tasks.target import COCO_MASK, Object
from linnet.vision import brush, rle

SHARES, PERCENT = 1, 100
"""Height and width of an image in such units."""


def add_voc(told: Told, root: Element) -> None:
    """Adds the objects of an annotation of Pascal VOC, whose corners are pixels counted from 1."""
    sides = [_whole(root.findtext(f"size/{side}")) for side in ("height", "width")]
    told.height, told.width = sides if all(sides) else (0, 0)
    for one in root.iterfind("object"):
        name = str(one.findtext("name") or "")
        told.classes.add(name)
        corners = [one.findtext(f"bndbox/{side}") or "" for side in ("xmin", "ymin", "xmax", "ymax")]
        told.objects.append((name, _box(corners)))


def add_yolo(told: Told, name: str, words: Sequence[str]) -> None:
    """Adds a line's object: its center, width and height."""
    told.height = told.width = SHARES
    told.classes.add(name)
    numbers = _numbers(words)
    box = {}
    if len(numbers) == 4:
        x, y, width, height = numbers
        box = {"bbox": [x - width / 2, y - height / 2, width, height]}
    told.objects.append((name, box))


def of_label_studio(kind: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """The box of a rectangle that is not turned, or the mask of an outline or a brush; else nothing.

    Of a mask that cannot be had the segmentation says why.
    """
    value = result["value"]
    if kind == "rectanglelabels":
        numbers = _numbers([value.get(key) for key in ("x", "y", "width", "height")])
        return {"bbox": numbers} if len(numbers) == 4 and not value.get("rotation") else {}
    if kind not in ("polygonlabels", "brushlabels"):
        return {}
    size = [_whole(str(result.get(f"original_{side}"))) for side in ("height", "width")]
    if not all(size):
        return {COCO_MASK: "marked in an image of no size"}
    try:
        mask = _brushed(value, *size) if kind == "brushlabels" else _outlined(value, *size)
    except ValueError as error:
        return {COCO_MASK: str(error)}
    return {COCO_MASK: {"size": size, "counts": rle.encode(mask)}}


def size_of(objects: Sequence[Object]) -> tuple[int, int]:
    """Height and width of what the marks of Label Studio are told in.

    Of the image's pixels where they have masks, or 0 where these are of several sizes; else percent.
    """
    masks = [about[COCO_MASK] for _, about in objects if isinstance(about.get(COCO_MASK), Mapping)]
    sizes = {tuple(mask["size"]) for mask in masks} or {(PERCENT, PERCENT)}
    return next(iter(sizes)) if len(sizes) == 1 else (0, 0)


def _brushed(value: Mapping[str, Any], height: int, width: int) -> rle.Mask:
    """Raises ValueError: it is no brush of that size."""
    return brush.decode(value.get("rle") or (), height, width)


def _outlined(value: Mapping[str, Any], height: int, width: int) -> rle.Mask:
    """Raises ValueError: it has no corners."""
    points = value.get("points")
    corners = (
        [_numbers(point) for point in points if isinstance(point, list)] if isinstance(points, list) else []
    )
    if not corners or any(len(corner) != 2 for corner in corners):
        raise ValueError("an outline without corners")
    scaled = np.array(corners) * [width / PERCENT, height / PERCENT]
    return rle.fill(scaled.ravel().tolist(), height, width)


def _box(corners: Sequence[str]) -> dict[str, Any]:
    numbers = _numbers(corners)
    if len(numbers) != 4:
        return {}
    left, top, right, bottom = numbers
    return {"bbox": [left - 1, top - 1, right - left + 1, bottom - top + 1]}


def _numbers(words: Sequence[Any]) -> list[float]:
    """The numbers; none if one is none."""
    try:
        return [float(word) for word in words]
    except (TypeError, ValueError):
        return []


def _whole(text: str | None) -> int:
    return int(text) if text and text.strip().isdigit() else 0
