"""Reader of COCO exports: `images`, `annotations` and `categories` in one JSON file, perhaps one a split."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from linnet.data.told import Told
from linnet.errors import DataError


def read_coco(path: Path, content: Any) -> list[Told]:
    """What a file's JSON says, an entry an image; none, if it is of no such export.

    Raises:
        DataError: it is damaged.
    """
    keys = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(key), list) for key in keys):
        return []
    try:
        names = _by_id(path, "category", content["categories"], "name")
        files = _by_id(path, "image", content["images"], "file_name")
        images = {number: Told(name, path) for number, name in files.items()}
        for one in content["images"]:
            images[one["id"]].height, images[one["id"]].width = _size(one)
        for one in content["annotations"]:
            images[one["image_id"]].classes.add(names[one["category_id"]])
            images[one["image_id"]].objects.append((names[one["category_id"]], one))
    except (KeyError, TypeError) as error:
        raise DataError(
            str(path), f"is a damaged COCO export: {error!s:.80} is missing", "export it again"
        ) from error
    return list(images.values())


def _size(image: dict[str, Any]) -> tuple[int, int]:
    """Height and width that a COCO file gives an image; 0 where it does not."""
    sides = image.get("height"), image.get("width")
    return sides if all(type(side) is int and side > 0 for side in sides) else (0, 0)  # type: ignore[return-value]


def _by_id(path: Path, what: str, listed: list[Any], key: str) -> dict[Any, str]:
    """The names of a COCO file's images or categories, by the id that annotations refer to.

    Raises:
        DataError: an id means two of them: one would take the other's place.
    """
    found: dict[Any, str] = {}
    for one in listed:
        name = str(one[key])
        if found.setdefault(one["id"], name) != name:
            problem = f"is a damaged COCO export: {what} {one['id']} is both {found[one['id']]} and {name}"
            raise DataError(str(path), problem, "give each an id of its own")
    return found
