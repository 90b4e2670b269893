"""What a table of images says at a first look: whether it names a folder's images, and what it asks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from linnet.config import DEFAULT_TASK, normal
from linnet.data.image_index import ImageIndex
from linnet.data.image_manifest import cell_text, column_of, person_column, table_path
from linnet.data.tables import read_table
from linnet.storage.files import is_a_file
from linnet.tasks.parts import TASKS
from linnet.tasks.target import target_of

_SHARE_OF_LISTS = 0.1
_ASKED = 200
"""First rows for which the disk is asked, too: a table that names none of the folder's images may be long."""


def task_of_table(location: Path) -> tuple[str, str]:
    """What a table's labels ask of an image, and by what that shows; empty: it is what tables usually ask.

    Several classes an image show by a list or a bar in a label, or by rows of one path with different labels
    (of one person, where the table says whose), for a tenth of the images: a few are contradictions.

    Raises:
        DataError: it cannot be read.
    """
    several = next((task for task in TASKS if target_of(task).several), DEFAULT_TASK)
    path = table_path(location)
    names, rows = read_table(path)
    place, label = column_of("path", names), column_of("label", names)
    person = person_column(names)
    labels: dict[tuple[str, str], set[str]] = defaultdict(set)
    listed = 0
    for _, cells in rows:
        if place is None or label is None:
            break
        cell = cells[label]
        text = cell if isinstance(cell, str) else ""
        listed += isinstance(cell, list) or "|" in text or text.strip().startswith("[")
        who = cell_text(cells[person]) if person else ""
        labels[cell_text(cells[place]), who].add(str(cell))
    if listed > 1 and listed >= _SHARE_OF_LISTS * len(labels):
        return several, f"{listed:,} labels hold several classes"
    repeated = sum(len(found) > 1 for found in labels.values())
    if repeated and repeated >= _SHARE_OF_LISTS * len(labels):
        return several, f"{repeated:,} images stand in several rows, with different classes"
    return DEFAULT_TASK, ""


@dataclass(frozen=True, slots=True)
class TableLook:
    """A table that names images and labels."""

    path: Path
    images: dict[Path, str]
    """The label of each image that it names and that is there; several that it gives one, joined by bars."""


def look_at_table(path: Path, index: ImageIndex) -> TableLook | None:
    """What a table says of the images of a folder; None: no row names one.

    Raises:
        DataError: it cannot be read.
    """
    names, rows = read_table(path)
    place, label = column_of("path", names), column_of("label", names)
    if place is None or label is None:
        return None
    found: dict[Path, dict[str, None]] = {}
    for number, (_, cells) in enumerate(rows, start=1):
        reference = cell_text(cells[place])
        asked = bool(reference) and len(reference) < 1000 and (bool(found) or number <= _ASKED)
        direct = path.parent / reference if asked else None
        image = index.find(reference, path.parent) if reference else None
        if image is None and direct is not None and "\0" not in reference and is_a_file(direct):
            image = direct
        if image is not None:
            found.setdefault(image, {})[normal(cell_text(cells[label]))] = None
    return TableLook(path, {image: "|".join(given) for image, given in found.items()}) if found else None
