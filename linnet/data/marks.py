"""The boxes of annotation tools in shares of the image: pixels, centers, percent; 1-based corners."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from linnet.tasks.target import Marked, Sides


def _in_shares(name: str, box: Sequence[Any], width: Any, height: Any) -> Marked:
    """Of left, top, right, bottom in pixels of an image of a size."""
    try:
        left, top, right, bottom = (float(side) for side in box)
        across, down = float(width), float(height)
    except (TypeError, ValueError):
        return Marked(name, problem=f"a box of {name!r} without four numbers, or without the image's size")
    if across <= 0 or down <= 0:
        return Marked(name, problem=f"a box of {name!r} in an image of {width} x {height} pixels")
    return Marked(name, (left / across, top / down, right / across, bottom / down))


def of_coco(name: str, annotation: Mapping[str, Any], image: Mapping[str, Any]) -> Marked:
    """`bbox` is left, top, width and height in pixels."""
    if annotation.get("iscrowd"):
        return Marked(name, problem=f"a crowd of {name!r} (iscrowd), which is no box of one object")
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(side, int | float) for side in box):
        return Marked(name, problem=f"{name!r} without a bbox of four numbers")
    sides = (box[0], box[1], box[0] + box[2], box[1] + box[3])
    return _in_shares(name, sides, image.get("width"), image.get("height"))


def of_voc(marked: Element, root: Element) -> Marked:
    """`bndbox` holds the first and the last pixel, counted from 1."""
    name = str(marked.findtext("name") or "")
    found = [marked.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    try:
        left, top, right, bottom = (float(side or "") for side in found)
    except ValueError:
        return Marked(name, problem=f"{name!r} without a bndbox of four numbers")
    size = root.findtext("size/width"), root.findtext("size/height")
    return _in_shares(name, (left - 1, top - 1, right, bottom), *size)


def of_yolo(name: str, words: Sequence[str]) -> Marked:
    """Center, width and height in shares of the image."""
    try:
        x, y, width, height = (float(word) for word in words)
    except ValueError:
        return Marked(name, problem=f"{name!r} with {len(words)} numbers, not the four of a box")
    return Marked(name, (x - width / 2, y - height / 2, x + width / 2, y + height / 2))


def of_label_studio(name: str, kind: str, value: Mapping[str, Any]) -> Marked:
    """`x`, `y`, `width` and `height` in percent."""
    if kind != "rectanglelabels":
        return Marked(name, problem=f"{name!r} as {kind}, which is no box")
    if abs(float(value.get("rotation") or 0)) > 0:
        return Marked(name, problem=f"a turned box of {name!r}")
    try:
        left, top, width, height = (float(value[key]) / 100 for key in ("x", "y", "width", "height"))
    except (KeyError, TypeError, ValueError):
        return Marked(name, problem=f"a box of {name!r} without x, y, width and height")
    sides: Sides = (left, top, left + width, top + height)
    return Marked(name, sides)
