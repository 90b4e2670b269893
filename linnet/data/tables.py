"""Reads a table as people save it: CSV, TSV, semicolons, bars, any Unicode encoding, JSON lines, Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from linnet.errors import DataError
from linnet.storage.files import is_a_file

ENDINGS = (".csv", ".tsv", ".tab", ".jsonl", ".parquet")
Rows = Iterator[tuple[str, dict[str, Any]]]
"""Where a row stands (`line 3`), and its cells by column."""
_SEPARATORS = ",;\t|"


def read_table(path: Path) -> tuple[list[str], Rows]:
    """The names of the columns, trimmed, and the rows.

    A CSV without a header has the columns `1`, `2`, ...: its first line already names an image.

    Raises:
        DataError: it cannot be read, or lines have not as many cells as the header; names them.
    """
    ending = path.suffix.lower()
    if ending == ".parquet":
        return _parquet(path)
    try:
        text = decoded(path.read_bytes())
        return _json_lines(text) if ending == ".jsonl" else _csv(path, text)
    except (OSError, UnicodeDecodeError, csv.Error, json.JSONDecodeError, TypeError) as error:
        kind = "JSON lines" if ending == ".jsonl" else "CSV"
        raise DataError(str(path), f"is not a readable {kind} table: {error}", "save it as UTF-8") from error


def decoded(data: bytes) -> str:
    """Text in UTF-8 or UTF-16, with or without a byte order mark.

    Raises:
        UnicodeDecodeError: it is neither.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16")
    return data.decode("utf-8-sig")


def _csv(path: Path, text: str) -> tuple[list[str], Rows]:
    head = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    lines = [(f"line {reader.line_num}", cells) for cells in reader if any(cell.strip() for cell in cells)]
    if not lines:
        return [], iter(())
    names = [name.strip() for name in lines[0][1]]
    if _names_a_file(path.parent, names):
        names = [str(number + 1) for number in range(len(names))]
    else:
        lines = lines[1:]
    uneven = [place for place, cells in lines if len(cells) != len(names)]
    if uneven:
        shown = "".join(f"\n  - {place}" for place in uneven[:20])
        more = f"\n  and {len(uneven) - 20} more" if len(uneven) > 20 else ""
        raise DataError(
            str(path),
            f"{len(uneven)} line(s) have not as many cells as the header:{shown}{more}\n"
            "Fix these lines; quote cells that hold a comma",
        )
    return names, ((place, dict(zip(names, cells, strict=True))) for place, cells in lines)


def _names_a_file(folder: Path, cells: list[str]) -> bool:
    """Whether what should be a header names a file that is there."""
    return any(
        "." in cell and "\0" not in cell and len(cell) < 1000 and is_a_file(folder / cell) for cell in cells
    )


def _json_lines(text: str) -> tuple[list[str], Rows]:
    rows = [
        (f"line {number}", json.loads(line))
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip()
    ]
    if not all(isinstance(row, dict) for _, row in rows):
        raise TypeError("a line is no object")
    names = list(dict.fromkeys(str(name) for _, row in rows for name in row))
    return names, ((place, {name: row.get(name) for name in names}) for place, row in rows)


def _parquet(path: Path) -> tuple[list[str], Rows]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise DataError(str(path), f"is not a readable Parquet table: {error}") from error
    return table.column_names, ((f"row {i}", row) for i, row in enumerate(table.to_pylist()))
