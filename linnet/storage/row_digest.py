"""A digest in each row of the SQLite tables that decide something: a value edited in its place shows.

SQLite's own check sees pages and indexes, and not what a row says. The digest is no signature: who knows how
it is made can make another one. It tells of damage, and of hands that changed a value and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence

COLUMN = "row_digest"
_FUNCTION = "linnet_row_digest"


def digest_of(values: Sequence[object]) -> str:
    """32 hex digits over a row's values, in the order of its columns; 1 and 1.0 are the same to SQLite."""
    plain = [float(value) if isinstance(value, int | float) else value for value in values]
    return hashlib.blake2b(json.dumps(plain, default=str).encode(), digest_size=16).hexdigest()


def columns_of(connection: sqlite3.Connection, table: str) -> tuple[list[str], bool]:
    """The columns that a table's digests are over, and whether it has any.

    These are all columns but the number that SQLite gives to a row.
    """
    found = connection.execute(f"PRAGMA table_info({_quoted(table)})").fetchall()
    named = [name for _, name, kind, _, _, key in found if name != COLUMN and not (key and kind == "INTEGER")]
    return named, any(row[1] == COLUMN for row in found)


def seal(connection: sqlite3.Connection, table: str, only_wrong: bool = False) -> None:
    """Gives each row of a table its digest, and the table the column for it where there is none.

    `only_wrong`: rows whose digest is right are not touched; the table may forbid to change them.
    """
    named, sealed = columns_of(connection, table)
    if not sealed:
        connection.execute(f"ALTER TABLE {_quoted(table)} ADD COLUMN {COLUMN} TEXT NOT NULL DEFAULT ''")
    connection.create_function(_FUNCTION, -1, lambda *values: digest_of(values), deterministic=True)
    made = f"{_FUNCTION}({', '.join(map(_quoted, named))})"
    where = f" WHERE {COLUMN} != {made}" if only_wrong else ""
    connection.execute(f"UPDATE {_quoted(table)} SET {COLUMN} = {made}{where}")  # noqa: S608  quoted names


def wrong_rows(connection: sqlite3.Connection, most: int = 3) -> list[str]:
    """Rows that are not as they were written, in words; a table without digests is not looked at."""
    found: list[str] = []
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in tables:
        named, sealed = columns_of(connection, table)
        if not sealed:
            continue
        columns = ", ".join(map(_quoted, named))
        rows = connection.execute(f"SELECT rowid, {COLUMN}, {columns} FROM {_quoted(table)}")  # noqa: S608
        for number, digest, *values in rows:
            if digest != digest_of(values):
                found.append(f"the row {number} of the table {table} was changed")
            if len(found) == most:
                return found
    return found


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
