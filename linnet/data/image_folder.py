"""Reader of a folder of images: the rows of what `layout.understand` found there."""

from __future__ import annotations

from pathlib import Path

from linnet.config import Layout, normal
from linnet.data.layout import Understanding, understand
from linnet.data.rows import RawDataset, RawRow, class_names, invalid_rows
from linnet.errors import DataError


def read_image_folder(folder: Path, classes: tuple[str, ...] = (), layout: Layout = "auto") -> RawDataset:
    """Lists the images of a folder with their classes and official splits.

    Raises:
        DataError: as `layout.understand`; or fewer than 2 classes, a class without an image, a
            sub-folder that `classes` does not name, or labels that stand in a table.
    """
    return dataset_of(understand(folder, classes, layout), classes)


def dataset_of(found: Understanding, classes: tuple[str, ...] = ()) -> RawDataset:
    """The raw dataset of a folder that was understood.

    Raises:
        DataError: as `read_image_folder`.
    """
    where = str(found.where)
    if found.table is not None:
        raise DataError(
            where,
            f"the images stand in no class folders; their labels seem to be in {found.table.name}",
            f'set data.kind = "manifest" and data.location to {found.table}',
        )
    if found.empty:
        remedy = "add some or remove the folders"
        raise invalid_rows(where, "class(es) without an image", sorted(found.empty), remedy)
    spelled = {normal(name): name for name in classes}
    unknown = sorted(found.labels - set(spelled)) if classes else []
    if unknown:
        remedy = "name it in data.classes, or remove the folder"
        raise invalid_rows(where, "sub-folder(s) that data.classes does not name", unknown, remedy)
    rows = [
        RawRow(image.origin, spelled.get(image.label, image.label), image.split, str(image.path))
        for image in found.images
    ]
    names = class_names(where, {row.label for row in rows}, classes)
    return RawDataset(where, names, rows, tuple(found.left_out))
