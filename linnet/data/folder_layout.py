"""Reads classes and splits from the names of folders."""

from __future__ import annotations

from pathlib import Path

from linnet.config import Layout, normal
from linnet.data.folder_tree import Folder, LeftOut, shown, utf8
from linnet.data.mask_files import named_as_masks
from linnet.data.rows import invalid_rows
from linnet.data.understanding import EXAMPLE, UNLABELLED, Understanding, class_name, split_named
from linnet.errors import DataError
from linnet.pages.names import first_few
from linnet.records import SPLITS, Split


def read_folders(tree: Folder, found: Understanding, classes: tuple[str, ...], layout: Layout) -> None:
    """Splits with classes, classes, classes with splits in them, or any folder around these.

    Raises:
        DataError: images outside of every class, no sub-folders, or several readings; says which.
    """
    root = inner_folder(tree)
    if root is not tree:
        found.notes.append(f"read from the folder {root.origin}")
    if root.images:
        raise invalid_rows(
            str(root.path),
            f"{len(root.images)} image(s) stand outside of every class",
            [utf8(path.name) for path in root.images],
            EXAMPLE,
        )
    if not root.folders:
        raise DataError(str(found.where), "has no sub-folders", EXAMPLE)
    if _has_splits(found.where, root, {normal(name) for name in classes}, layout):
        found.reading = "splits"
        _read_splits(root, found)
    else:
        found.reading = "classes"
        if layout == "auto":
            _refuse_unknown_splits(root, {normal(name) for name in classes})
        _read_classes(root, found)
    labels = {image.label for image in found.images}
    if layout == "auto" and not classes and named_as_masks(labels):
        raise DataError(
            str(root.path),
            f"the folders {first_few(sorted(labels), 5)} look like images and their masks, and no classes",
            'data.layout = "masks", with a data.task that learns from masks, reads them as such; '
            "`linnet init --layout classes` takes them as classes",
        )


def inner_folder(tree: Folder) -> Folder:
    """The folder that holds splits or classes: others may stand around it, alone in their place."""
    holding = [child for child in tree.folders if child.holds_images()]
    only = holding[0] if len(holding) == 1 and not tree.images else None
    if only is None or split_named(only.name) or not any(child.holds_images() for child in only.folders):
        return tree
    if only.images or any(not child.holds_images() and not child.others for child in tree.folders):
        return tree
    return inner_folder(only)


def _has_splits(where: Path, root: Folder, classes: set[str], layout: Layout) -> bool:
    """Whether the sub-folders are splits, or else classes.

    Raises:
        DataError: they may be either.
    """
    holding = [child for child in root.folders if child.holds_images()]
    splits = [child for child in holding if split_named(child.name)]
    if layout != "auto" or not splits:
        if layout == "splits" and not splits:
            raise DataError(str(where), "has no folder named as a split", "such as train, val or test")
        return layout == "splits"
    names = {class_name(child.path) for child in splits}
    others = [child for child in holding if child not in splits]
    nested = [child for child in splits if any(inner.holds_images() for inner in child.folders)]
    if classes and names <= classes:
        return False
    if nested and (not others or (classes and not classes & {class_name(c.path) for c in holding})):
        return True
    shown_splits = ", ".join(f"'{child.name}'" for child in splits)
    if others:
        rest = first_few([f"'{child.name}'" for child in others], 5)
        problem = f"{shown_splits} may be classes or splits, as {rest} stand beside"
        remedy = "`linnet init --layout classes` takes all of them as classes; else move the splits apart"
    else:
        problem = f"{shown_splits} look like splits, but hold images and no class folders"
        remedy = "put one folder per class into each; `linnet init --layout classes` takes them as classes"
    raise DataError(str(where), problem, remedy)


def _read_splits(root: Folder, found: Understanding) -> None:
    """Splits on top: their sub-folders are the classes."""
    folders = [child for child in root.folders if split_named(child.name)]
    for other in root.folders:
        if other not in folders and other.holds_images():
            found.left_out += [
                LeftOut(found.origin(path), "outside of every split") for path in other.all_images()
            ]
    spelled: dict[Split, list[Folder]] = {}
    for child in folders:
        split = split_named(child.name)
        assert split is not None
        spelled.setdefault(split, []).append(child)
    for split in SPLITS:
        several = spelled.get(split, [])
        if len(several) > 1:
            names = " and ".join(f"`{child.name}`" for child in several)
            raise DataError(str(root.path), f"has both {names}, which are one split", "merge the two")
        for child in several:
            _read_split(child, split, found)
    _leave_out_unlabelled(found)
    seen = {image.label for image in found.images}
    found.empty = sorted(set(found.empty) - seen)


def _leave_out_unlabelled(found: Understanding) -> None:
    """A split that shares no class with training has none: its folders are only folders (`test/images`)."""
    trained = {image.label for image in found.images if image.split == "train"}
    for split in SPLITS:
        own = {image.label for image in found.images if image.split == split}
        if trained and own and not own & trained:
            lost = [image for image in found.images if image.split == split]
            found.images = [image for image in found.images if image.split != split]
            found.left_out += [LeftOut(image.origin, UNLABELLED) for image in lost]
            names = first_few(sorted(own), 5)
            found.notes.append(
                f"the {split} split has no class of the training images, only {names}: left out"
            )


def _read_split(folder: Folder, split: Split, found: Understanding) -> None:
    """The classes of one split; images that stand beside them have no class."""
    labelled = any(child.holds_images() for child in folder.folders)
    if folder.images and (labelled or split == "train"):
        names = [shown(path, folder) for path in folder.images]
        raise invalid_rows(
            str(folder.path), f"{len(names)} image(s) stand outside of every class", names, EXAMPLE
        )
    if folder.images:
        found.left_out += [LeftOut(shown(path, folder), UNLABELLED) for path in folder.images]
        found.notes.append(f"the folder {folder.origin} has no classes: its images are left out")
    if folder.name.casefold() != split:
        found.notes.append(f"the folder {folder.origin} is the {split} split")
    for child in folder.folders:
        _take(child, class_name(child.path), split, found)


def _refuse_unknown_splits(root: Folder, classes: set[str]) -> None:
    """Folders that hold the same sub-folders may be splits with a spelling of their own (`seg_train`).

    Raises:
        DataError: they do, and the config does not name them as classes.
    """
    inner = {
        folder.name: {child.name for child in folder.folders if child.holds_images()}
        for folder in root.folders
        if folder.holds_images() and not folder.images
    }
    shared = set.intersection(*inner.values()) if len(inner) > 1 else set()
    if len(shared) < 2 or {normal(name) for name in inner} <= classes or all(map(split_named, shared)):
        return
    names, below = (first_few([f"'{name}'" for name in sorted(found)], 5) for found in (inner, shared))
    raise DataError(
        str(root.path),
        f"{names} hold the same sub-folders {below}: they may be splits, or classes",
        "`linnet init --layout classes` takes them as classes; else call them train, validation and test",
    )


def _read_classes(root: Folder, found: Understanding) -> None:
    """Classes on top; where every one of them holds nothing but split folders, these are kept."""
    inner = [child for folder in root.folders for child in folder.folders if child.holds_images()]
    loose = any(folder.images for folder in root.folders)
    by_split = [child for child in inner if split_named(child.name)]
    if by_split and (loose or len(by_split) < len(inner)):
        names = first_few([child.origin for child in by_split], 5)
        raise DataError(
            str(root.path),
            f"{names} look like splits within a class, but images stand beside them",
            "put every image of every class into such a folder, or give these other names",
        )
    for folder in root.folders:
        label = class_name(folder.path)
        if not by_split:
            _take(folder, label, "", found)
            continue
        for child in folder.folders:
            split = split_named(child.name)
            if split is not None:
                _take(child, label, split, found)
        if not folder.holds_images():
            _take(folder, label, "", found)
    if by_split:
        found.notes.append("the splits stand within the classes")


def _take(folder: Folder, label: str, split: str, found: Understanding) -> None:
    """All images below a class folder; one with other files alone is left out, an empty one is told."""
    images = folder.all_images()
    if not images and not any(inner.others for inner in folder.everything()):
        found.empty.append(label)
    for path in images:
        found.take(path, label, split)
