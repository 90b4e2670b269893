"""What a folder of images is understood to be: splits, classes and files, and what is left out and why.

One reading serves `linnet init`, which shows it, and `ingest`, which works from it. Where two readings
are possible nothing is guessed: the caller names one (`linnet init --layout`, which writes
`data.classes`), or is told which there are.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from linnet.data.folder_tree import Folder, LeftOut, count_reasons, shown, utf8, walk
from linnet.data.rows import invalid_rows
from linnet.errors import DataError
from linnet.records import SPLITS, Split

Layout = Literal["auto", "splits", "classes"]

EXAMPLE = "put the images in one sub-folder a class, such as photos/cat/1.jpg"
UNLABELLED = "image without a class"
_SPELLINGS: dict[Split, str] = {
    "train": "train training trn",
    "validation": "val valid validation validate dev eval evaluation",
    "test": "test testing tst holdout hold-out hold_out",
    "production": "production",
}
_SPLIT_OF: dict[str, Split] = {word: split for split, words in _SPELLINGS.items() for word in words.split()}
_TABLES = (".csv", ".tsv", ".parquet")


def split_named(text: str) -> Split | None:
    """The split that a folder's name or a table's cell means, in any usual spelling and any case."""
    return _SPLIT_OF.get(text.strip().casefold())


def normal(name: str) -> str:
    """A class name as it is compared: trimmed, in Unicode's composed form (NFC)."""
    return unicodedata.normalize("NFC", name.strip())


def class_name(folder: Path) -> str:
    """The class that a folder's name means.

    Raises:
        DataError: the name is not UTF-8, which tables, JSON and the model's package are.
    """
    try:
        folder.name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            utf8(folder.name), "the folder's name is not UTF-8", "rename it: it is the class name"
        ) from error
    return normal(folder.name)


@dataclass(frozen=True, slots=True)
class FoundImage:
    """An image and what its place says of it."""

    path: Path
    origin: str
    """Its path below the folder that was named."""
    label: str
    split: str
    """An official split, or empty."""


@dataclass(slots=True)
class Understanding:
    """What a folder holds. `table` is set where the labels stand in a table beside the images."""

    where: Path
    images: list[FoundImage] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What a person should know of how it was read."""
    empty: list[str] = field(default_factory=list)
    """Class folders without any image."""
    table: Path | None = None

    @property
    def labels(self) -> set[str]:
        """The classes that the folders name, empty ones included."""
        return {image.label for image in self.images} | set(self.empty)

    def tree(self) -> str:
        """The splits and classes with their counts, what is left out, and notes: a few lines of text."""
        counts = Counter((image.split, image.label) for image in self.images)
        labels = sorted(self.labels)
        lines = [f"{self.where}: {len(self.images):,} images in {len(labels)} classes"]
        if self.table is not None:
            lines = [f"{self.where}: the labels stand in {self.table.name}"]
        for split in [name for name in ("", *SPLITS) if any(key[0] == name for key in counts)]:
            total = sum(number for (of, _), number in counts.items() if of == split)
            told = ", ".join(f"{label} {counts[split, label]:,}" for label in labels[:20])
            more = f" and {len(labels) - 20} more" if len(labels) > 20 else ""
            lines.append(f"  {split or 'no splits':<11} {total:>7,}  {told}{more}")
        for reason, number in count_reasons(self.left_out).items():
            named = [item.origin for item in self.left_out if item.reason == reason]
            more = ", ..." if number > 3 else ""
            lines.append(f"  left out    {number:>7,}  {reason}: {', '.join(named[:3])}{more}")
        return "\n".join([*lines, *(f"  note: {note}" for note in self.notes)])


def understand(folder: Path, classes: tuple[str, ...] = (), layout: Layout = "auto") -> Understanding:
    """Reads a folder's layout, without opening an image.

    Args:
        folder: Splits with classes, classes, classes with splits in them, any folder around these, or
            images beside one table.
        classes: What the config names; it decides where a folder may be a class or a split.
        layout: The reading to take; `auto` refuses where two are possible.

    Raises:
        DataError: no such folder, unreadable, no images, or several readings; says which.
    """
    tree = walk(folder)
    left_out = tree.all_left_out()
    root = _inner(tree)
    found = Understanding(folder, left_out=left_out)
    if root is not tree:
        found.notes.append(f"read from the folder {root.origin}")
    tables = [path for path in root.others if path.suffix.lower() in _TABLES]
    holding = [child for child in root.folders if child.holds_images()]
    _refuse_boxes(folder, tree)
    if len(tables) == 1 and root.images and not holding:
        found.table = tables[0]
        found.left_out = [item for item in left_out if item.origin != shown(tables[0], root)]
        return found
    if tables:
        names = ", ".join(path.name for path in tables)
        found.notes.append(f"{names} was not read: the folders name the classes")
    if root.images:
        raise invalid_rows(
            str(root.path),
            f"{len(root.images)} image(s) stand outside of every class",
            [utf8(path.name) for path in root.images],
            EXAMPLE,
        )
    if not root.folders:
        raise DataError(str(folder), "has no sub-folders", EXAMPLE)
    named = {normal(name) for name in classes}
    if _has_splits(folder, root, named, layout):
        _read_splits(root, found)
    else:
        _read_classes(root, found)
    _note_cases(found)
    return found


def _inner(tree: Folder) -> Folder:
    """The folder that holds splits or classes: others may stand around it, alone in their place."""
    holding = [child for child in tree.folders if child.holds_images()]
    only = holding[0] if len(holding) == 1 and not tree.images else None
    if only is None or split_named(only.name) or not any(child.holds_images() for child in only.folders):
        return tree
    if only.images or any(not child.holds_images() and not child.others for child in tree.folders):
        return tree
    return _inner(only)


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
        rest = ", ".join(f"'{child.name}'" for child in others[:5])
        problem = f"{shown_splits} may be classes or splits, as {rest} stand beside"
        remedy = "`linnet init --layout classes` takes all of them as classes; else move the splits apart"
    else:
        problem = f"{shown_splits} look like splits, but hold images and no class folders"
        remedy = "put a folder a class into each; `linnet init --layout classes` takes them as classes"
    raise DataError(str(where), problem, remedy)


def _read_splits(root: Folder, found: Understanding) -> None:
    """Splits on top: their sub-folders are the classes."""
    folders = [child for child in root.folders if split_named(child.name)]
    for other in root.folders:
        if other not in folders and other.holds_images():
            found.left_out += [_below(found, path, "outside of every split") for path in other.all_images()]
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
    seen = {image.label for image in found.images}
    found.empty = sorted(set(found.empty) - seen)


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


def _read_classes(root: Folder, found: Understanding) -> None:
    """Classes on top; where every one of them holds nothing but split folders, these are kept."""
    inner = [child for folder in root.folders for child in folder.folders if child.holds_images()]
    loose = any(folder.images for folder in root.folders)
    by_split = [child for child in inner if split_named(child.name)]
    if by_split and (loose or len(by_split) < len(inner)):
        names = ", ".join(child.origin for child in by_split[:5])
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
    found.images += [FoundImage(path, _origin(path, found.where), label, split) for path in images]


def _origin(path: Path, where: Path) -> str:
    return utf8(path.relative_to(where).as_posix())


def _below(found: Understanding, path: Path, reason: str) -> LeftOut:
    return LeftOut(_origin(path, found.where), reason)


def _note_cases(found: Understanding) -> None:
    """A warning where two classes differ by case only: they may be one."""
    groups: dict[str, list[str]] = {}
    for label in sorted(found.labels):
        groups.setdefault(label.casefold(), []).append(label)
    for names in groups.values():
        if len(names) > 1:
            found.notes.append(f"{' and '.join(names)} differ by case only; are they one class?")


def _refuse_boxes(where: Path, tree: Folder) -> None:
    """An export for object detection is none of classification, whatever its folders are called."""
    names = {path.name.lower() for path in tree.others}
    kinds = {
        "YOLO": "data.yaml" in names or "data.yml" in names,
        "COCO": any("coco" in name and name.endswith(".json") for name in names)
        or any(
            child.name.lower() == "annotations" and any(p.suffix == ".json" for p in child.others)
            for child in tree.folders
        ),
        "VOC": any(
            child.name.lower() == "annotations" and any(p.suffix == ".xml" for p in child.others)
            for child in tree.folders
        ),
    }
    for kind, is_it in kinds.items():
        if is_it:
            raise DataError(
                str(where),
                f"looks like a {kind} export: boxes within images, not one class an image",
                "Linnet classifies whole images: " + EXAMPLE,
            )
