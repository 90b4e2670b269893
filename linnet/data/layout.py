"""Understands a folder of images before it is read: by folders, tables, an export, or names of files.

One reading serves `linnet init`, which shows it and writes it down (`data.layout`), and `ingest`, which
works from it. Where two readings are possible nothing is guessed: the caller names one, or is told which.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from linnet.config import Layout
from linnet.data.archives import refuse_packed
from linnet.data.export_layout import read_export
from linnet.data.exports import TITLES, Export, find_export
from linnet.data.file_layout import (
    classes_of_names,
    has_sidecars,
    read_names,
    read_sidecars,
)
from linnet.data.folder_layout import read_folders
from linnet.data.folder_tree import Folder, LeftOut, shown, utf8, walk
from linnet.data.image_index import ImageIndex
from linnet.data.image_manifest import manifest_rows
from linnet.data.mask_files import read_masks
from linnet.data.rows import invalid_rows
from linnet.data.table_look import TableLook, look_at_table
from linnet.data.tables import ENDINGS
from linnet.data.understanding import EXAMPLE, FoundImage, Understanding, new_understanding, split_named
from linnet.errors import DataError
from linnet.pages.names import first_few

__all__ = ["FoundImage", "Understanding", "split_named", "understand"]


def understand(
    folder: Path, classes: tuple[str, ...] = (), layout: Layout = "auto", task: str = ""
) -> Understanding:
    """Reads a folder's layout, without opening an image.

    Args:
        folder: Splits with classes, classes, classes with splits in them, any folder around these; or
            images with tables, an export of COCO, Pascal VOC, YOLO or Label Studio, or `.cls` files.
        classes: What the config names; it decides where a folder may be a class or a split.
        layout: The reading to take; `auto` refuses where two are possible.
        task: What the labels are to answer; empty: what an export tells of.

    Raises:
        DataError: no such folder, unreadable, no images, or several readings; says which.
    """
    tree = walk(folder)
    if layout == "auto":
        found = _understand(tree, classes, task)
    elif layout in ("splits", "classes"):
        found = new_understanding(tree)
        read_folders(tree, found, classes, layout)
        _note_unread_tables(tree, found)
    elif layout == "names":
        found = read_names(tree)
    elif layout == "webdataset":
        found = read_sidecars(tree)
    elif layout == "masks":
        found = read_masks(tree, classes, task)
    elif layout == "tables":
        found = _by_tables(tree, _tables_of(tree))
    else:
        search = find_export(tree, layout)
        if search.export is None:
            unread = "".join(f"; {note}" for note in search.notes())
            raise DataError(str(folder), f"holds no export of the kind {layout}{unread}")
        found = read_export(tree, search.export, task)
        found.notes += search.notes()
    found.note_cases()
    return found


@dataclass(frozen=True, slots=True)
class _Tables:
    """The tables of a folder."""

    looks: list[TableLook] = field(default_factory=list)
    """Those that name images of the folder and labels."""
    broken: list[DataError] = field(default_factory=list)
    """Why others cannot be read."""

    def broken_notes(self) -> list[str]:
        """One line per table that was left out for it."""
        return [f"{utf8(str(error)).splitlines()[0].rstrip(':')}; it was not read" for error in self.broken]


@dataclass(frozen=True, slots=True)
class _Reading:
    """A reading that worked, or why it did not."""

    found: Understanding | None
    error: DataError | None = None


def _understand(tree: Folder, classes: tuple[str, ...], task: str) -> Understanding:
    """The only reading that is possible, with a note of what could not be looked into.

    Raises:
        DataError: there is none, or there are several that differ.
    """
    search = find_export(tree, "auto")
    notes = search.notes()
    try:
        found = _only_reading(tree, classes, search.export, task)
    except DataError as error:
        if notes:
            problem = "; ".join((error.problem, *notes))
            raise DataError(error.where, problem, error.remedy) from error
        raise
    found.notes += notes
    return found


def _only_reading(tree: Folder, classes: tuple[str, ...], export: Export | None, task: str) -> Understanding:
    folders = _folders(tree, classes)
    if export:
        return _agreed(
            tree, folders, read_export(tree, export, task) if folders.found is None else None, export
        )
    if has_sidecars(tree):
        return _unless_folders_disagree(tree, read_sidecars(tree), folders)
    tables = _tables_of(tree)
    if folders.found is not None:
        return _unless_tables_disagree(folders.found, tables)
    named = set().union(*(look.images for look in tables.looks))
    if named and len(named) * 2 >= len(tree.all_images()):
        return _by_tables(tree, tables)
    assert folders.error is not None
    refuse_packed(tree, folders.error)
    if tables.broken:  # what should have named the classes, as nothing else does
        raise tables.broken[0] from folders.error
    guess = classes_of_names(tree.all_images())
    if guess:
        told = first_few([f"{name} {number:,}" for name, number in guess.items()], 5)
        raise DataError(
            str(tree.path),
            f"{folders.error.problem}; the names of the files may be classes: {told}",
            f"`linnet init --layout names` takes them; else {folders.error.remedy or EXAMPLE}",
        )
    raise folders.error


def _folders(tree: Folder, classes: tuple[str, ...]) -> _Reading:
    """The reading by folders; fewer than two classes are none, unless the config names them."""
    found = new_understanding(tree)
    try:
        read_folders(tree, found, classes, "auto")
    except DataError as error:
        return _Reading(None, error)
    if len(found.labels) < 2 and not classes:
        only = f"only '{next(iter(found.labels))}'" if found.labels else "none"
        problem = f"at least 2 classes are needed, and there is {only}"
        return _Reading(None, DataError(str(tree.path), problem, "add images of another"))
    return _Reading(found)


def _agreed(
    tree: Folder, folders: _Reading, by_export: Understanding | None, export: Export
) -> Understanding:
    """What an export says, unless the folders say something as well."""
    if by_export is not None:
        return by_export
    assert folders.found is not None
    names = first_few(sorted(folders.found.labels), 5)
    raise DataError(
        str(tree.path),
        f"holds a {TITLES[export.kind]} export ({utf8(export.told[0].file.name)}), and its folders may be "
        f"classes: {names}",
        f"`linnet init --layout {export.kind}` or `--layout {folders.found.reading}` says which counts",
    )


def _unless_folders_disagree(tree: Folder, found: Understanding, folders: _Reading) -> Understanding:
    """What the `.cls` files say, unless folders say something else; numbers are shards and no classes."""
    named = {image.path: image.label for image in folders.found.images} if folders.found else {}
    apart = [image for image in found.images if named.get(image.path, image.label) != image.label]
    if folders.found is None or not apart or all(name.isdigit() for name in named.values()):
        return found
    first = f"{apart[0].origin} is '{apart[0].label}' by its file and '{named[apart[0].path]}' by its folder"
    problem = f"has the classes in .cls files, and its folders may be classes: {first}"
    remedy = f"`linnet init --layout webdataset` or `--layout {folders.found.reading}` says which counts"
    raise DataError(str(tree.path), problem, remedy)


def _unless_tables_disagree(found: Understanding, tables: _Tables) -> Understanding:
    """The folders' reading, if no table beside them says otherwise."""
    found.notes += tables.broken_notes()
    by_path = {image.path: image for image in found.images}
    for look in tables.looks:
        apart = [
            f"{by_path[path].origin}: '{by_path[path].label}' by its folder, '{label}' in the table"
            for path, label in look.images.items()
            if path in by_path and by_path[path].label != label
        ]
        if apart:
            raise invalid_rows(
                str(look.path),
                f"{len(apart)} image(s) have another label here than their folder says",
                apart,
                f"`linnet init --layout {found.reading}` goes by the folders, `linnet init --data "
                f"{look.path}` by the table",
            )
        found.notes.append(f"{look.path.name} was not read: the folders name the classes, as it does")
    return found


def _note_unread_tables(tree: Folder, found: Understanding) -> None:
    tables = _tables_of(tree)
    found.notes += tables.broken_notes()
    names = [utf8(look.path.name) for look in tables.looks]
    if names:
        found.notes.append(f"{', '.join(names)} was not read: the folders name the classes")


def _tables_of(tree: Folder) -> _Tables:
    paths = [p for folder in tree.everything() for p in folder.others if p.suffix.lower() in ENDINGS]
    index = ImageIndex(tree.path, tree.all_images())
    tables = _Tables()
    for path in paths:
        try:
            look = look_at_table(path, index)
        except DataError as error:
            tables.broken.append(error)
        else:
            if look is not None:
                tables.looks.append(look)
    return tables


def _by_tables(tree: Folder, given: _Tables) -> Understanding:
    """One table: it is read as a manifest. Several: one a split, by the name of the file or its folder.

    Raises:
        DataError: there is none, or several that are no splits.
    """
    found, tables = new_understanding(tree), given.looks
    found.reading = "tables"
    found.notes += given.broken_notes()
    splits = [split_named(look.path.stem) or split_named(look.path.parent.name) or "" for look in tables]
    if not tables and given.broken:
        raise given.broken[0]
    if not tables:
        raise DataError(str(tree.path), "holds no table of image paths and labels")
    if len(tables) > 1 and (len(set(splits)) < len(splits) or "" in splits):
        names = ", ".join(utf8(look.path.name) for look in tables)
        raise DataError(
            str(tree.path),
            f"several tables name images and labels: {names}",
            "name the one that counts: `linnet init --data TABLE`; or call them train, validation and test",
        )
    left = {
        shown(look.path, folder)
        for folder in tree.everything()
        for look in tables
        if look.path in folder.others
    }
    found.left_out = [item for item in found.left_out if item.origin not in left]
    if len(tables) == 1 and not splits[0]:
        found.table = tables[0].path
        taken = set(tables[0].images)
        others = [path for path in tree.all_images() if path not in taken]
        found.left_out += [LeftOut(found.origin(path), "not named in the table") for path in others]
        return found
    for look, split in zip(tables, splits, strict=True):
        for row in manifest_rows(look.path):
            assert isinstance(row.source, Path)
            found.take(row.source, row.label, row.split or split, row.captured_at)
        found.notes.append(f"the labels of the {split} split stand in {found.origin(look.path)}")
    found.leave_out_others(tree.all_images(), "not named in a table")
    return found
