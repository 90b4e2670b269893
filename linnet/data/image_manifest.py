"""Reader of a manifest: a CSV or Parquet table of image paths and labels.

Columns: path (relative to the manifest; also file, filename or image) and label (also class or
category); optional split (train, validation, test or production in any usual spelling, or empty),
captured_at (ISO 8601; UTC where it has no offset), and any cohort column.
"""

from __future__ import annotations

import csv
import difflib
import io
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from linnet.data.layout import split_named
from linnet.data.rows import RawDataset, RawRow, class_names, invalid_rows
from linnet.errors import DataError
from linnet.records import SPLITS, utc_time

_ALIASES = {
    "path": ("path", "file", "filename", "file_name", "image", "image_path", "filepath"),
    "label": ("label", "class", "category", "class_name"),
    "split": ("split", "subset", "partition"),
}
"""Names that a column may have, in any case; the first is Linnet's own."""

_NONE = "missing"
"""Cohort value of a row whose cell is empty."""


def read_manifest(
    location: Path, classes: tuple[str, ...] = (), cohorts: tuple[str, ...] = (), group: str = ""
) -> RawDataset:
    """Reads a manifest, or the `manifest.csv` or `manifest.parquet` of a folder.

    Raises:
        DataError: as `manifest_rows`; or fewer than two classes, or a configured one without an image.
    """
    rows = manifest_rows(location, classes, cohorts, group)
    path = str(_table_path(location))
    return RawDataset(path, class_names(path, {row.label for row in rows}, classes), rows)


def manifest_rows(
    location: Path, classes: tuple[str, ...] = (), cohorts: tuple[str, ...] = (), group: str = ""
) -> list[RawRow]:
    """The rows of a manifest, whichever classes they have; `group` is the column that names their groups.

    Raises:
        DataError: no such file, a missing column, or rows (all are named) without path or label, with
            an unknown label or split, with a time that is not ISO 8601, or whose file is missing.
    """
    path = _table_path(location)
    names, table = _parquet(path) if path.suffix.lower() == ".parquet" else _csv(path)
    known = {wanted: _column(wanted, names) for wanted in _ALIASES}
    _check_columns(path, [*names, *(wanted for wanted, name in known.items() if name)], cohorts, group)
    rows: list[RawRow] = []
    problems: list[str] = []
    for place, cells in table:
        try:
            named = {wanted: cells[name] for wanted, name in known.items() if name}
            rows.append(_row(path.parent, {**cells, **named}, classes, cohorts, group))
        except ValueError as error:
            problems.append(f"{place}: {error}")
    if problems:
        raise invalid_rows(
            str(path), f"{len(problems)} row(s) are wrong", problems, "mend or remove these rows"
        )
    if not rows:
        raise DataError(str(path), "has no rows", "list at least one image of each of 2 classes")
    return rows


def _table_path(location: Path) -> Path:
    if location.is_dir():
        for name in ("manifest.csv", "manifest.parquet"):
            if (location / name).is_file():
                return location / name
        raise DataError(str(location), "has neither manifest.csv nor manifest.parquet")
    if not location.is_file():
        raise DataError(str(location), "no such file", "data.location must name a CSV or Parquet file")
    return location


def _csv(path: Path) -> tuple[list[str], Iterator[tuple[str, dict[str, Any]]]]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        head = text.partition("\n")[0]
        separator = max(",;\t", key=head.count)
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
        names = list(reader.fieldnames or [])
        table = [(f"line {reader.line_num}", row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(str(path), f"is not a readable CSV table: {error}", "save it as UTF-8") from error
    uneven = [place for place, row in table if None in row or None in row.values()]
    if uneven:
        problem = f"{len(uneven)} line(s) have not as many cells as the header"
        raise invalid_rows(str(path), problem, uneven, "mend these lines; quote cells that hold a comma")
    return names, iter(table)


def _parquet(path: Path) -> tuple[list[str], Iterator[tuple[str, dict[str, Any]]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(str(path), f"is not a readable Parquet table: {error}") from error
    return table.column_names, ((f"row {i}", row) for i, row in enumerate(table.to_pylist()))


def _column(wanted: str, names: list[str]) -> str | None:
    """The column that is meant by one of Linnet's names: the very name, or the only alias of it."""
    if wanted in names:
        return wanted
    found = [name for name in names if str(name).strip().casefold() in _ALIASES[wanted]]
    return found[0] if len(found) == 1 else None


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
    root: Path, cells: dict[str, Any], classes: tuple[str, ...], cohorts: tuple[str, ...], group: str
) -> RawRow:
    """One row of the table.

    Raises:
        ValueError: what is wrong with it.
    """
    origin, label = _text(cells["path"]), _text(cells["label"])
    if not origin:
        raise ValueError("it has no path")
    if not label:
        raise ValueError(f"{origin} has no label")
    if classes and label not in classes:
        near = difflib.get_close_matches(label, classes, n=1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        raise ValueError(f"{origin} has the unknown label '{label}'{hint}")
    named = _text(cells.get("split"))
    split = split_named(named) or ""
    if named and not split:
        raise ValueError(f"{origin} has the unknown split '{named}'; known: {', '.join(SPLITS)}")
    path = root / origin
    if not path.is_file():
        raise ValueError(f"{origin} does not exist")
    values = tuple(_text(cells[name]) or _NONE for name in cohorts)
    captured = _captured(origin, cells.get("captured_at"))
    return RawRow(origin, label, split, path, captured, values, group=_text(cells[group]) if group else "")


def _text(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()


def _captured(origin: str, cell: Any) -> datetime | None:
    text = cell.isoformat() if isinstance(cell, datetime) else _text(cell)
    if not text:
        return None
    try:
        return utc_time(text)
    except ValueError as error:
        raise ValueError(f"{origin} has captured_at '{text}', which is not ISO 8601") from error
