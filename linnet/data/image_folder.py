"""Reader of a folder of images: the rows of what `layout.understand` found there."""

from __future__ import annotations

from pathlib import Path

from linnet.config import DEFAULT_TASK, Layout, normal
from linnet.data.layout import Understanding, understand
from linnet.data.rows import RawDataset, RawRow, class_names, invalid_rows
from linnet.errors import DataError
from linnet.tasks.target import target_of


def read_image_folder(
    folder: Path, classes: tuple[str, ...] = (), layout: Layout = "auto", task: str = DEFAULT_TASK
) -> RawDataset:
    """Lists the images of a folder with their classes and official splits.

    Raises:
        DataError: as `layout.understand`; or fewer than 2 classes, a class without an image, a
            sub-folder that `classes` does not name, labels that stand in a table, or such of another task.
    """
    found = understand(folder, classes, layout, task)
    if found.task != task:
        problem = f"each image has one class in it (read as {found.reading}), and data.task is {task}"
        remedy = 'name an export or a table with several classes an image, or set data.task = "{}"'
        raise DataError(str(folder), problem, remedy.format(found.task))
    return dataset_of(found, classes)


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
    target = target_of(found.task)
    spelled = {normal(name): name for name in classes}
    unknown = sorted(found.labels - set(spelled)) if classes else []
    if unknown:
        remedy = "name it in data.classes, or remove the folder"
        raise invalid_rows(where, "sub-folder(s) that data.classes does not name", unknown, remedy)
    rows = [
        RawRow(
            image.origin,
            target.renamed(image.label, lambda name: spelled.get(name, name)),
            image.split,
            str(image.path),
            image.captured_at,
        )
        for image in found.images
    ]
    names = class_names(where, {name for row in rows for name in target.classes(row.label)}, classes)
    notes = tuple(note.replace(f"{where}/", "") for note in found.notes)  # the same wherever the folder lies
    return RawDataset(where, names, rows, tuple(found.left_out), notes)
