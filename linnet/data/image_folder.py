"""Reader of a folder of images with one sub-folder a class."""

from __future__ import annotations

import os
from pathlib import Path

from linnet.data.rows import RawDataset, RawRow, class_names, invalid_rows
from linnet.errors import DataError

_OFFICIAL = {"train": "train", "test": "test", "val": "validation", "validation": "validation"}
_IMAGE_ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
_EXAMPLE = "put the images in one sub-folder a class, such as photos/cat/1.jpg"


def read_image_folder(folder: Path, classes: tuple[str, ...] = ()) -> RawDataset:
    """Lists the images of a folder; a file's class is the name of its first sub-folder.

    Where all sub-folders are called `train`, `test` or `val`/`validation` and hold sub-folders
    themselves, they are the official splits. Hidden files are ignored; every other file in a class
    folder, at any depth, must be an image.

    Raises:
        DataError: no such folder, an empty class, fewer than 2 classes, an image outside of every
            class, or a sub-folder that `classes` does not name.
    """
    if not folder.is_dir():
        problem = "is a file, not a folder" if folder.exists() else "no such folder"
        raise DataError(str(folder), problem, _EXAMPLE)
    official = _official_splits(folder)
    roots = official or {"": folder}
    rows: list[RawRow] = []
    found: set[str] = set()
    for split, root in roots.items():
        _refuse_strays(root)
        for class_folder in _folders(root):
            _check_name(class_folder)
            files = _files(class_folder)
            if not files and not official:
                raise DataError(str(class_folder), "the class has no image", "add some or remove the folder")
            found.add(class_folder.name)
            rows += [RawRow(_origin(path, folder), class_folder.name, split, path) for path in files]
    if not found:
        raise DataError(str(folder), "has no sub-folders", _EXAMPLE)
    unknown = sorted(found - set(classes)) if classes else []
    if unknown:
        remedy = "name it in data.classes, or remove the folder"
        raise invalid_rows(str(folder), "sub-folder(s) that data.classes does not name", unknown, remedy)
    empty = sorted(found - {row.label for row in rows})
    if empty:
        raise invalid_rows(str(folder), "class(es) without an image", empty, "add some or remove the folders")
    return RawDataset(str(folder), class_names(str(folder), found, classes), rows)


def _official_splits(folder: Path) -> dict[str, Path]:
    """The folder of each official split, in the order train, validation, test; empty: none."""
    folders = _folders(folder)
    if not folders or any(path.name not in _OFFICIAL or not _folders(path) for path in folders):
        return {}
    order = ("train", "val", "validation", "test")
    found = {_OFFICIAL[path.name]: path for path in sorted(folders, key=lambda path: order.index(path.name))}
    if len(found) < len(folders):
        raise DataError(str(folder), "has both `val` and `validation`", "merge the two")
    return found


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(root: Path) -> list[Path]:
    """All files below, without hidden ones and hidden folders, sorted by path."""
    found: list[Path] = []
    for parent, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in files if not name.startswith(".")]
    return sorted(found, key=lambda path: path.relative_to(root).as_posix())


def _refuse_strays(root: Path) -> None:
    """Images beside the class folders have no class; other files (a README) do no harm there."""
    strays = sorted(
        path.name
        for path in root.iterdir()
        if path.is_file() and not path.name.startswith(".") and path.suffix.lower() in _IMAGE_ENDINGS
    )
    if strays:
        raise invalid_rows(
            str(root), f"{len(strays)} image(s) stand outside of every class", strays, _EXAMPLE
        )


def _origin(path: Path, folder: Path) -> str:
    """The path below the root; bytes that are not UTF-8 are escaped, for Parquet wants UTF-8."""
    return os.fsencode(path.relative_to(folder).as_posix()).decode("utf-8", "backslashreplace")


def _check_name(class_folder: Path) -> None:
    """A class name goes into tables, JSON and the model's package, all of which are UTF-8."""
    try:
        class_folder.name.encode("utf-8")
    except UnicodeEncodeError as error:
        shown = os.fsencode(class_folder.name).decode("utf-8", "backslashreplace")
        raise DataError(shown, "the folder's name is not UTF-8", "rename it: it is the class name") from error
