"""Reader of a manifest: a CSV or Parquet table of image paths and labels.

Columns: path (relative to the manifest, or any end of a path below its folder; also file, filename or
image) and label (also class or category); optional split (train, validation, test or production in any
usual spelling, or empty), captured_at (ISO 8601; UTC where it has no offset), and any cohort column.
"""

from __future__ import annotations

import difflib
from datetime import datetime
from pathlib import Path
from typing import Any

from linnet.config import DEFAULT_TASK, normal, problem_of
from linnet.data.folder_tree import walk
from linnet.data.image_index import ImageIndex
from linnet.data.rows import RawDataset, RawRow, class_names, invalid_rows
from linnet.data.rows_of_image import check_agreed, joined_rows
from linnet.data.tables import read_table
from linnet.data.understanding import split_named
from linnet.errors import DataError
from linnet.records import SPLITS, utc_time
from linnet.storage.files import is_a_file
from linnet.tasks.target import Target, target_of

_ALIASES = {
    "path": (
        *("path", "file", "filename", "file_name", "filepath", "file_path", "image", "image_path", "img"),
        *("image_name", "img_name", "image_file", "image_id", "img_path", "photo", "picture", "id", "1"),
    ),
    "label": (
        *("label", "labels", "class", "class_name", "classname", "category", "category_name", "target"),
        *("label_name", "species", "breed", "choice", "diagnosis", "2"),
    ),
    "split": ("split", "subset", "partition", "set", "fold", "3"),
}
"""Names that a column may have, in any case; the first is Linnet's own, numbers a table's without header."""

_PEOPLE = (
    *("annotator", "annotator_id", "annotated_by", "labeler", "labeller", "labelled_by", "rater", "rater_id"),
    *("worker", "worker_id", "completed_by", "annotation_id"),
)
"""Names of a column that tells whose answer a row is, the best first."""

_NONE = "missing"
"""Cohort value of a row whose cell is empty."""


def read_manifest(
    location: Path,
    classes: tuple[str, ...] = (),
    cohorts: tuple[str, ...] = (),
    group: str = "",
    task: str = DEFAULT_TASK,
) -> RawDataset:
    """Reads a manifest, or the `manifest.csv` or `manifest.parquet` of a folder.

    Raises:
        DataError: as `manifest_rows`; or fewer than two classes, or a configured one without an image.
    """
    rows, target = manifest_rows(location, classes, cohorts, group, task), target_of(task)
    path, found = str(table_path(location)), {name for row in rows for name in target.classes(row.label)}
    return RawDataset(path, class_names(path, found, classes), rows)


def manifest_rows(
    location: Path,
    classes: tuple[str, ...] = (),
    cohorts: tuple[str, ...] = (),
    group: str = "",
    task: str = DEFAULT_TASK,
) -> list[RawRow]:
    """The rows of a manifest, whichever classes they have; `group` is the column that names their groups.

    Where the task allows an image several classes, rows of one path are one row with the classes of all.

    Raises:
        DataError: no such file, a missing column, or rows (all are named) without path or label, with
            an unknown label or split, with a time that is not ISO 8601, or whose file is missing.
    """
    path = table_path(location)
    names, table = read_table(path)
    known = {wanted: column_of(wanted, names) for wanted in _ALIASES}
    _check_ambiguous(path, names, [*filter(None, known.values()), "captured_at", *cohorts, group])
    finder = _Finder(path.parent)
    _check_columns(path, [*names, *(wanted for wanted, name in known.items() if name)], cohorts, group)
    rows: list[RawRow] = []
    people: list[str] = []
    problems: list[str] = []
    target, person = target_of(task), person_column(names)
    for place, cells in table:
        try:
            named = {wanted: cells[name] for wanted, name in known.items() if name}
            rows.append(_row(finder, target, {**cells, **named}, classes, cohorts, group))
            people.append(cell_text(cells[person]) if person else "")
        except ValueError as error:
            problems.append(f"{place}: {error}")
    if problems:
        raise invalid_rows(
            str(path), f"{len(problems)} row(s) are wrong", problems, "fix or remove these rows"
        )
    if not rows:
        raise DataError(str(path), "has no rows", "list at least one image of each of 2 classes")
    if not target.several:
        return rows
    check_agreed(str(path), rows, people)
    return joined_rows(str(path), rows, target)


def table_path(location: Path) -> Path:
    """The table itself, or the manifest in a folder.

    Raises:
        DataError: there is none.
    """
    if location.is_dir():
        for name in ("manifest.csv", "manifest.parquet"):
            if (location / name).is_file():
                return location / name
        raise DataError(str(location), "has neither manifest.csv nor manifest.parquet")
    if not location.is_file():
        raise DataError(str(location), "no such file", "data.location must name a CSV or Parquet file")
    return location


def column_of(wanted: str, names: list[str]) -> str | None:
    """The column that is meant by one of Linnet's names: the very name, or the only alias of it."""
    if wanted in names:
        return wanted
    found = _aliases(wanted, names)
    return found[0] if len(found) == 1 else None


def person_column(names: list[str]) -> str | None:
    """The column that tells whose answer a row is; None: the table tells of nobody."""
    known = {str(name).strip().casefold().replace(" ", "_"): name for name in reversed(names)}
    return next((known[name] for name in _PEOPLE if name in known), None)


def _aliases(wanted: str, names: list[str]) -> list[str]:
    known = [str(name).strip().casefold().replace(" ", "_") for name in names]
    return [name for name, spelled in zip(names, known, strict=True) if spelled in _ALIASES[wanted]]


def _check_ambiguous(path: Path, names: list[str], used: list[str]) -> None:
    """Refuses a table in which a column would take another's place, or count for nothing.

    Raises:
        DataError: two columns have the name of one that is read, or may both be the split.
    """
    if twice := sorted({name for name in used if names.count(name) > 1}):
        raise DataError(str(path), f"has several columns '{twice[0]}'", "rename all but the one that counts")
    if "split" not in names and len(found := _aliases("split", names)) > 1:
        listed = " and ".join(f"'{name}'" for name in found)
        remedy = "call the one that counts 'split', or rename all of them if none does"
        raise DataError(str(path), f"has the columns {listed}, which may each be the split", remedy)


def _check_columns(path: Path, names: list[str], cohorts: tuple[str, ...], group: str) -> None:
    for wanted in ("path", "label", *cohorts, *((group,) if group else ())):
        if wanted in names:
            continue
        near = difflib.get_close_matches(wanted, names, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        use = "data.cohorts names it" if wanted in cohorts else "every manifest needs it"
        use = "data.group names it" if wanted == group else use
        raise DataError(
            str(path), f"there is no column '{wanted}' ({use})", f"{hint}it has: {', '.join(names)}"
        )


def _row(
    finder: _Finder,
    target: Target,
    cells: dict[str, Any],
    classes: tuple[str, ...],
    cohorts: tuple[str, ...],
    group: str,
) -> RawRow:
    """One row of the table.

    Raises:
        ValueError: what is wrong with it.
    """
    origin = cell_text(cells["path"])
    if not origin:
        raise ValueError("it has no path")
    try:
        label = target.read(cells["label"])
    except ValueError as error:
        raise ValueError(f"{origin} has {error}") from error
    label = target.renamed(label, lambda name: _class(origin, target, normal(name), classes))
    named = cell_text(cells.get("split"))
    split = split_named(named) or ""
    if named and not split:
        raise ValueError(f"{origin} has the unknown split '{named}'; known: {', '.join(SPLITS)}")
    path = finder.find(origin)
    values = tuple(cell_text(cells[name]) or _NONE for name in cohorts)
    captured = _captured(origin, cells.get("captured_at"))
    return RawRow(
        origin, label, split, str(path), captured, values, group=cell_text(cells[group]) if group else ""
    )


def _class(origin: str, target: Target, name: str, classes: tuple[str, ...]) -> str:
    """A class as the config spells it.

    Raises:
        ValueError: nothing can be called so, or the config does not name it.
    """
    if problem := problem_of(name) or target.problem_of(name):
        raise ValueError(f"{origin} has the label {name[:60]!r}, which {problem}")
    name = {normal(known): known for known in classes}.get(name, name)
    if classes and name not in classes:
        near = difflib.get_close_matches(name, classes, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise ValueError(f"{origin} has the unknown label '{name}'{hint}")
    return name


class _Finder:
    """The image that a cell names: a path from the table's folder, or else what fits below that folder."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._index: ImageIndex | None = None

    def find(self, origin: str) -> Path:
        """Raises ValueError: there is no such image, or several fit."""
        if "\0" not in origin and len(origin) < 4096:
            if is_a_file(self._root / origin):
                return self._root / origin
            self._index = self._index or ImageIndex(self._root, walk(self._root).all_images())
            if found := self._index.find(origin):
                return found
            if others := self._index.named_like(origin):
                names = " and ".join(str(path.relative_to(self._root)) for path in others[:2])
                more = " and others have" if len(others) > 2 else " has" if len(others) == 1 else " have"
                raise ValueError(f"{origin[:200]} does not exist; {names}{more} its name")
        raise ValueError(f"{origin[:200]} does not exist")


def cell_text(cell: Any) -> str:
    """A cell as text; empty for none."""
    return "" if cell is None else str(cell).strip()


def _captured(origin: str, cell: Any) -> datetime | None:
    text = cell.isoformat() if isinstance(cell, datetime) else cell_text(cell)
    if not text:
        return None
    try:
        return utc_time(text)
    except ValueError as error:
        raise ValueError(f"{origin} has captured_at '{text}', which is not ISO 8601") from error
