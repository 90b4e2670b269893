"""Index masks beside images: for `images/a.jpg` a `masks/a.png`, whose values are the classes of the pixels.

0 is background, k the class k in the order of `data.classes`, or of the lines of a `classes.txt`. A mask
is an image of one channel or of a palette, whose colors do not count.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from linnet.data.folder_tree import Folder
from linnet.data.rows import invalid_rows
from linnet.data.understanding import Understanding, label_of, new_understanding, split_among
from linnet.errors import DataError
from linnet.tasks.target import COCO_MASK, target_of
from linnet.vision import rle

CLASSES_FILE = "classes.txt"
_MASKS = frozenset(["mask", "masks", "segmentations", "segmentationclass", "annotations", "labels"])
_IMAGES = frozenset(["image", "images", "img", "imgs", "jpegimages", "photos"])
_MODES = ("1", "L", "P", "I", "I;16")


def named_as_masks(classes: Iterable[str]) -> bool:
    """Whether folders that were taken as classes are called as images and their masks are."""
    names = {name.casefold() for name in classes}
    return bool(names & _IMAGES and names & _MASKS) and names <= _IMAGES | _MASKS


def read_masks(tree: Folder, classes: tuple[str, ...], task: str) -> Understanding:
    """Takes each image with its mask.

    Raises:
        DataError: there are no masks or no names for their values; images without a mask, masks without an
            image, or masks that cannot be read or hold a value of no class, by their names.
    """
    if not task or not target_of(task).spatial:
        problem = (
            "would be read with its masks, which say where classes are, and data.task asks for no places"
        )
        raise DataError(str(tree.path), problem, "name the task in a config, or another --layout")
    found = new_understanding(tree)
    found.reading, found.task = "masks", task
    names = classes or _names(tree)
    masks: dict[tuple[str, ...], Path] = {}
    wrong: list[str] = []
    for path in tree.all_images():
        if _folder_of(tree, path, _MASKS) and masks.setdefault(_key(tree, path), path) != path:
            wrong.append(f"{found.origin(path)}: another mask has that name, too")
    images = [path for path in tree.all_images() if not _folder_of(tree, path, _MASKS)]
    if not masks:
        remedy = "put masks/NAME.png beside images/NAME.jpg"
        raise DataError(str(tree.path), "holds no folder of masks", remedy)
    for path in images:
        mask = masks.pop(_key(tree, path), None)
        if mask is None:
            wrong.append(f"{found.origin(path)}: it has no mask")
            continue
        try:
            label = _label(mask, names, task)
        except ValueError as error:
            wrong.append(f"{found.origin(mask)}: {error}")
            continue
        found.take(path, label, split_among(path.relative_to(tree.path).parts[-2::-1]))
    wrong += [f"{found.origin(path)}: there is no image of that name" for path in masks.values()]
    if wrong:
        problem = f"holds masks, and {len(wrong)} image(s) or mask(s) cannot be used"
        raise invalid_rows(str(tree.path), problem, wrong, "fix or remove these")
    found.notes.append(
        f"read as images with masks: 0 is background, 1 to {len(names)} are {', '.join(names)}"
    )
    return found


def _names(tree: Folder) -> tuple[str, ...]:
    """Raises DataError: nothing says what the values mean."""
    path = tree.path / CLASSES_FILE
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        remedy = f"name them in data.classes, or in {CLASSES_FILE}, a line each, from the value 1 on"
        raise DataError(
            str(tree.path), "does not say which classes the values of masks are", remedy
        ) from error
    return tuple(label_of(line, str(path)) for line in lines if line.strip())


def _folder_of(tree: Folder, path: Path, kind: frozenset[str]) -> bool:
    return any(part.casefold() in kind for part in path.relative_to(tree.path).parts[:-1])


def _key(tree: Folder, path: Path) -> tuple[str, ...]:
    """What an image and its mask have in common: folders but for those of images and masks, and the stem."""
    parts = path.relative_to(tree.path).parts[:-1]
    return (*(part for part in parts if part.casefold() not in _MASKS | _IMAGES), path.stem)


def _label(mask: Path, names: tuple[str, ...], task: str) -> str:
    """Raises ValueError: what is wrong with a mask."""
    values = _values(mask)
    present = np.unique(values)
    if odd := [int(value) for value in present if not 0 <= value <= len(names)]:
        raise ValueError(f"the value {odd[-1]} is no class: 0 is background, and {len(names)} is the last")
    size = list(values.shape)
    objects: list[tuple[str, dict[str, Any]]] = [
        (names[int(k) - 1], {COCO_MASK: {"size": size, "counts": rle.encode(values == k)}})
        for k in present
        if k
    ]
    return target_of(task).of_objects(objects, *values.shape)


def _values(mask: Path) -> npt.NDArray[np.integer[Any]]:
    """The values of a mask [H, W].

    Raises:
        ValueError: it is no image of one channel.
    """
    try:
        with Image.open(mask) as opened:
            if opened.mode not in _MODES:
                raise ValueError(
                    f"a mask of mode {opened.mode}: one channel of class numbers is read, no colors"
                )
            return np.asarray(opened).astype(np.int64)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"it cannot be read as an image ({error!s:.80})") from error
