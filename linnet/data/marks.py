"""The boxes of annotation tools as COCO would tell them: left, top, width and height, in pixels of an image.

YOLO tells shares of the image, as of one pixel, and Label Studio percent, as of a hundred.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from linnet.data.told import Told

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
        if any(corners):
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


def of_label_studio(kind: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """The box of a rectangle; nothing of any other mark, or of a turned one."""
    numbers = _numbers([value.get(key) for key in ("x", "y", "width", "height")])
    if kind != "rectanglelabels" or len(numbers) != 4 or value.get("rotation"):
        return {}
    return {"bbox": numbers}


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
