"""Takes the one class that an annotation tool's export gives each image."""

from __future__ import annotations

from pathlib import Path

from linnet.data.exports import TITLES, Export, split_files
from linnet.data.folder_tree import Folder, LeftOut
from linnet.data.image_index import ImageIndex
from linnet.data.rows import invalid_rows
from linnet.data.understanding import Understanding, label_of, new_understanding, split_among, split_named
from linnet.errors import DataError


def read_export(tree: Folder, export: Export) -> Understanding:
    """The one class that an export gives each image.

    Raises:
        DataError: it tells of boxes of several classes within an image, or of one class alone.
    """
    found, title = new_understanding(tree), TITLES[export.kind]
    found.reading = export.kind
    names = sorted({name for one in export.told for name in one.classes})
    what = "boxes" if export.boxes else "labels"
    if len(names) < 2:
        raise DataError(
            str(tree.path),
            f"looks like a {title} export with {what} of {len(names)} class: {', '.join(names) or 'none'}",
            "boxes of one class are a task of detection; Linnet classifies whole images, into at least 2",
        )
    several = [
        f"{one.reference}: {', '.join(sorted(one.classes))}" for one in export.told if len(one.classes) > 1
    ]
    if several:
        problem = f"is a {title} export, and {len(several)} image(s) have {what} of several classes"
        remedy = (
            "Linnet takes one class an image: cut the boxes out as images of their own, or leave these out"
        )
        raise invalid_rows(str(tree.path), problem, several, remedy)
    images, several_lists = tree.all_images(), split_files(tree)
    twice = sorted(stem for stem, named in several_lists.items() if len(named) > 1)
    lists = {stem: next(iter(named)) for stem, named in several_lists.items() if len(named) == 1}
    index = ImageIndex(tree.path, images)
    missing = _take_told(found, export, index, lists)
    if twice:
        first = f"such as {twice[0]} in {' and '.join(sorted(several_lists[twice[0]]))}"
        told = f"{len(twice):,} image(s) stand in several lists of ImageSets ({first}): none counts"
        found.notes.append(told)
    if not found.images:
        raise invalid_rows(
            str(tree.path), f"is a {title} export whose images are not there", missing, "add them"
        )
    if missing:
        found.left_out += [LeftOut(name, f"named by the {title} export, and not there") for name in missing]
    files = {one.file for one in export.told}
    found.left_out = [item for item in found.left_out if tree.path / item.origin not in files]
    found.leave_out_others(images, f"without a label in the {title} export")
    found.notes.append(f"read as a {title} export: each image has one class")
    return found


def _take_told(found: Understanding, export: Export, index: ImageIndex, lists: dict[str, str]) -> list[str]:
    """Takes the images that an export labels; gives the names of those that are not there."""
    missing: list[str] = []
    taken: dict[Path, str] = {}
    seen: set[tuple[Path, str]] = set()
    for one in export.told:
        path = index.find(one.reference, one.file.parent) or index.find(one.reference)
        if path is None:
            missing.append(one.reference)
            continue
        for name in one.classes:  # one at most
            if taken.setdefault(path, name) != name:
                labels = f"'{taken[path]}' and '{name}'"
                raise DataError(str(one.file), f"labels {found.origin(path)} {labels}", "keep one of them")
            parts = (*path.relative_to(found.where).parts[-2::-1], one.file.stem.rpartition("_")[2])
            split = split_named(lists.get(path.stem, "")) or split_among(parts)
            if (path, split) in seen:  # in two splits it is a leak, which whoever selects rows tells
                continue
            seen.add((path, split))
            found.take(path, label_of(name, str(one.file)), split)
    return missing
