"""The SQLite file of one dataset's labels: opened, guarded by transactions, errors in plain words.

SQLite and not Parquet segments: many appenders at once, an idempotency key, and a labelling round
written whole or not at all are what a transaction is; with files each of them would be our own
protocol of locks and renames. The journal is a WAL with full syncs: what was committed survives
kill -9 and power loss, and readers never wait. The file belongs on a local disk.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from linnet.errors import DataError, StorageError
from linnet.storage import row_digest
from linnet.storage.paths import state_dir
from linnet.storage.sqlite import damaged, is_damage

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PATIENCE_S = 30.0
_VERSION = 3
"""Since 3 each row of `labels` has a digest."""
_ADDED = {"reason": "TEXT NOT NULL DEFAULT ''", "latency": "REAL", "source": "TEXT NOT NULL DEFAULT ''"}
"""Columns of `labels` that version 1 did not have."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS labels (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  sample_id TEXT NOT NULL, label TEXT NOT NULL, annotator TEXT NOT NULL, agreement REAL,
  labelled_at INTEGER NOT NULL, created_at INTEGER NOT NULL,
  batch TEXT NOT NULL, status TEXT NOT NULL, comment TEXT NOT NULL,
  reason TEXT NOT NULL DEFAULT '', latency REAL, source TEXT NOT NULL DEFAULT '',
  row_digest TEXT NOT NULL DEFAULT '',
  UNIQUE (sample_id, annotator, batch, labelled_at));
CREATE UNIQUE INDEX IF NOT EXISTS labels_by_source ON labels (source) WHERE source != '';
CREATE TABLE IF NOT EXISTS quarantine (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  reason TEXT NOT NULL, row TEXT NOT NULL, created_at INTEGER NOT NULL,
  UNIQUE (reason, row));
CREATE TABLE IF NOT EXISTS requests (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT,
  batch TEXT NOT NULL, sample_id TEXT NOT NULL, request TEXT NOT NULL, created_at INTEGER NOT NULL,
  UNIQUE (batch, sample_id));
CREATE TABLE IF NOT EXISTS images (
  sample_id TEXT PRIMARY KEY, image BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS projects (
  server TEXT PRIMARY KEY, project INTEGER NOT NULL,
  cursor INTEGER NOT NULL DEFAULT 0, swept_at INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS tasks (
  batch TEXT NOT NULL, sample_id TEXT NOT NULL, server TEXT NOT NULL, project INTEGER NOT NULL,
  task INTEGER NOT NULL, wanted INTEGER NOT NULL, exported_at INTEGER NOT NULL,
  gone TEXT NOT NULL DEFAULT '',
  PRIMARY KEY (batch, sample_id), UNIQUE (server, task));
CREATE TABLE IF NOT EXISTS rounds (
  batch TEXT PRIMARY KEY, closed_at INTEGER NOT NULL, version TEXT NOT NULL DEFAULT '',
  run_id TEXT NOT NULL DEFAULT '');
CREATE TABLE IF NOT EXISTS events (
  sequence INTEGER PRIMARY KEY AUTOINCREMENT, digest TEXT NOT NULL UNIQUE, action TEXT NOT NULL,
  received_at INTEGER NOT NULL, done INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS horizon (one INTEGER PRIMARY KEY CHECK (one = 1), moment INTEGER NOT NULL);
INSERT OR IGNORE INTO horizon VALUES (1, 0);
CREATE TRIGGER IF NOT EXISTS labels_never_change BEFORE UPDATE ON labels
  BEGIN SELECT RAISE(ABORT, 'labels are only appended'); END;
CREATE TRIGGER IF NOT EXISTS labels_never_go BEFORE DELETE ON labels
  BEGIN SELECT RAISE(ABORT, 'labels are only appended'); END;
"""


def to_micros(moment: datetime) -> int:
    """Microseconds since the epoch.

    Raises:
        DataError: the time has no zone.
    """
    if moment.tzinfo is None:
        raise DataError("label time", f"{moment} has no time zone", "give it in UTC")
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_micros(value: int) -> datetime:
    """The UTC time of microseconds since the epoch."""
    return EPOCH + timedelta(microseconds=value)


def database(name: str) -> Path:
    """Where the labels of dataset `name` lie."""
    return state_dir() / "labels" / name / "labels.sqlite"


@contextmanager
def transaction(path: Path, write: bool) -> Iterator[sqlite3.Connection]:
    """One transaction on the file, which is made if need be; written whole or not at all.

    Raises:
        StorageError: the file is damaged, of a newer Linnet, locked for too long, or the disk is full or
            not writable.
    """
    connection: sqlite3.Connection | None = None
    try:
        connection = _open(path)
        connection.execute("BEGIN IMMEDIATE" if write else "BEGIN")
        try:
            yield connection
        except BaseException:
            connection.rollback()
            raise
        connection.commit()
    except (sqlite3.Error, OSError) as error:
        if isinstance(error, sqlite3.Error) and is_damage(error):
            raise damaged(path, error) from error
        raise StorageError(
            f"{path}: the label table cannot be used ({error}); check the disk's space and permissions"
        ) from error
    finally:
        if connection is not None:
            connection.close()


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    """Makes the tables of a new file, and gives an older one what came since; a newer one is not touched."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version == _VERSION:
        return
    if version > _VERSION:
        raise StorageError(
            f"{path}: the label table has format {version}, and this Linnet knows {_VERSION}: update Linnet"
        )
    have = {row[1] for row in connection.execute("PRAGMA table_info(labels)")}
    for column, kind in _ADDED.items() if have else ():
        if column not in have:
            connection.execute(f"ALTER TABLE labels ADD COLUMN {column} {kind}")
    if have and row_digest.COLUMN not in have:
        _seal_older_rows(connection)
    connection.executescript(_SCHEMA)
    connection.execute(f"PRAGMA user_version = {_VERSION}")


def _seal_older_rows(connection: sqlite3.Connection) -> None:
    """Once, whoever comes first: from then on a row without its digest was changed."""
    connection.execute("BEGIN IMMEDIATE")
    if not row_digest.columns_of(connection, "labels")[1]:
        connection.execute("DROP TRIGGER IF EXISTS labels_never_change")  # `_SCHEMA` makes it again
        row_digest.seal(connection, "labels")
    connection.execute("COMMIT")


def _open(path: Path) -> sqlite3.Connection:
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        connection = sqlite3.connect(path, timeout=_PATIENCE_S, isolation_level=None)
        try:
            # SQLite does not wait by itself where two processes switch a new file to WAL at once.
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            _bring_up_to_date(connection, path)
            return connection
        except sqlite3.OperationalError as error:
            connection.close()
            shared = "locked" in str(error) or "duplicate column" in str(error)  # another one was quicker
            if not shared or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        except BaseException:
            connection.close()
            raise
