"""Takes the class of each image from the name of its file, or from a file beside it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from linnet.data.folder_tree import Folder, LeftOut
from linnet.data.rows import invalid_rows
from linnet.data.understanding import UNLABELLED, Understanding, label_of, new_understanding, split_among
from linnet.errors import DataError

_NUMBERED = re.compile(r"(?P<name>.*[^\W\d_])[ _.\-]*\(?\d+\)?|\d+[ _.\-]+(?P<after>\D*[^\W\d_])")
_MOST_CLASSES = 0.5
"""Share of images up to which the beginnings of their names look like classes."""


def classes_of_names(images: list[Path]) -> dict[str, int]:
    """Classes that begin the names of all files, with their counts; empty: they do not look like classes."""
    guess = Counter(label for label in map(_name_before, images) if label)
    looks = sum(guess.values()) == len(images) and 2 <= len(guess) <= _MOST_CLASSES * len(images)
    return dict(guess.most_common()) if looks else {}


def has_sidecars(tree: Folder) -> bool:
    """Whether images have `.cls` files beside them, as an unpacked WebDataset has; half of them, or more."""
    images = tree.all_images()
    return bool(images) and 2 * sum(path.with_suffix(".cls").is_file() for path in images) >= len(images)


def read_sidecars(tree: Folder) -> Understanding:
    """The class that stands in the `.cls` file beside each image.

    Raises:
        DataError: one is missing or unreadable; names them.
    """
    found = new_understanding(tree)
    found.reading = "webdataset"
    wrong = []
    for path in tree.all_images():
        try:
            text = path.with_suffix(".cls").read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            wrong.append(found.origin(path))
            continue
        split = split_among(path.relative_to(tree.path).parts[:-1])
        found.take(path, label_of(text, str(path)), split)
    if wrong:
        raise invalid_rows(
            str(tree.path), f"{len(wrong)} image(s) have no readable .cls file", wrong, "add them"
        )
    taken = {image.origin.rpartition(".")[0] + ".cls" for image in found.images}
    found.left_out = [item for item in found.left_out if item.origin not in taken]
    found.notes.append("the class of each image stands in the .cls file beside it (WebDataset)")
    return found


def _name_before(path: Path) -> str:
    """The words before, or after, the number of a file's name: `cat` of cat_001.jpg; empty: no number."""
    match = _NUMBERED.fullmatch(path.stem)
    return ((match["name"] or match["after"]) if match else "").strip(" _.-")


def read_names(tree: Folder) -> Understanding:
    """The class that begins the name of each file, within split folders or without.

    Raises:
        DataError: names without a number; names them.
    """
    found = new_understanding(tree)
    found.reading = "names"
    images = tree.all_images()
    if not images:
        raise DataError(str(tree.path), "holds no images")
    without = [found.origin(path) for path in images if not _name_before(path)]
    numbers_only = [path for path in images if path.stem.isdigit()]
    if len(without) > len(numbers_only) or len(without) == len(images):
        raise invalid_rows(
            str(tree.path),
            f"{len(without)} file name(s) are no class with a number",
            without,
            "such as cat_001.jpg",
        )
    for path in images:
        if path in numbers_only:
            found.left_out.append(LeftOut(found.origin(path), UNLABELLED))
            continue
        split = split_among(path.relative_to(tree.path).parts[:-1])
        found.take(path, label_of(_name_before(path), str(path)), split)
    found.notes.append("the class of each image begins the name of its file")
    return found
