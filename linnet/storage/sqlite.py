"""SQLite files as files: whether one is whole, a consistent copy of it, and what moved addresses do in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

from linnet.errors import StorageError
from linnet.storage import row_digest

_MAGIC = b"SQLite format 3\x00"
_PATIENCE_SECONDS = 30.0
_DAMAGED = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
REMEDY = "stop Linnet (`linnet down`), set the file aside, and bring the last good one back: `linnet restore`"


def is_database(path: Path) -> bool:
    """Whether a file says that it is an SQLite database."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


def is_damage(error: sqlite3.Error) -> bool:
    """Whether an error says that the file's own pages are wrong, and not the disk or another process."""
    return getattr(error, "sqlite_errorname", "").startswith(_DAMAGED)


def damaged(path: Path, why: object) -> StorageError:
    """The error of a database that was cut off or edited."""
    return StorageError(f"{path}: this database is damaged ({why}); {REMEDY}")


def check(path: Path) -> None:
    """Reads all pages of a database, and the order of its tables and indexes.

    Raises:
        StorageError: it was cut off or edited. (A value that was changed within its row shows in tables
            whose rows have digests.)
    """
    with _reading(path) as database:
        found = [str(row[0]) for row in database.execute("PRAGMA integrity_check(3)")]
        if found == ["ok"]:
            found = row_digest.wrong_rows(database) or found
    if found != ["ok"]:
        raise damaged(path, "; ".join(found)[:300])


def snapshot(path: Path, target: Path) -> None:
    """Copies a database as it is at one moment, also while others write to it.

    Raises:
        StorageError: it is damaged, or cannot be read.
    """
    with _reading(path) as database, closing(sqlite3.connect(target)) as copy:
        database.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")  # one file, and none beside it


def replace_prefixes(path: Path, prefixes: dict[str, str]) -> int:
    """Puts other beginnings in the place of those of texts in any table; how many texts had one.

    Raises:
        StorageError: it is damaged, or cannot be written.
    """
    changed = 0
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (table,) in tables:
                for _, column, kind, *_ in database.execute(f"PRAGMA table_info({_name(table)})").fetchall():
                    if not kind.upper().startswith(("TEXT", "VARCHAR", "CHAR", "")):
                        continue
                    where, what = _name(column), _name(table)
                    for old, new in prefixes.items():
                        changed += database.execute(
                            f"UPDATE {what} SET {where} = ? || substr({where}, ?) "  # noqa: S608  quoted names
                            f"WHERE typeof({where}) = 'text' AND substr({where}, 1, ?) = ?",
                            (new, len(old) + 1, len(old), old),
                        ).rowcount
                if row_digest.columns_of(database, table)[1]:
                    row_digest.seal(database, table, only_wrong=True)
            database.execute("COMMIT")
    except sqlite3.Error as error:
        raise damaged(path, error) if is_damage(error) else StorageError(f"{path}: {error}") from error
    return changed


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        address = f"file:{quote(str(path))}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=_PATIENCE_SECONDS)) as database:
            yield database
    except sqlite3.Error as error:
        if is_damage(error):
            raise damaged(path, error) from error
        raise StorageError(f"{path}: the database cannot be read ({error})") from error


def _name(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'
