"""The engine's index: pipelines, versions, experiments, runs and recurring runs in one SQLite file.

A resource is kept as the JSON that the API shows (`body`) beside what only the engine needs (`hidden`).
What a run did stands in its folder, which is the truth; the index finds it.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from linnet.engine.api_errors import ApiError
from linnet.engine.listing import Query, make_token, read_token
from linnet.storage import row_digest
from linnet.storage.files import translate_database
from linnet.storage.sqlite import damaged, is_damage

Kind = Literal["pipeline", "version", "experiment", "run", "recurring"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS resources (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    key TEXT,
    body TEXT NOT NULL,
    hidden TEXT NOT NULL,
    row_digest TEXT NOT NULL DEFAULT '',
    UNIQUE (kind, id),
    UNIQUE (kind, key)
);
CREATE INDEX IF NOT EXISTS resources_by_state ON resources (kind, json_extract(body, '$.state'));
CREATE INDEX IF NOT EXISTS resources_by_time ON resources (kind, json_extract(body, '$.created_at'));
"""
_COLUMNS = "seq, row_digest, kind, id, key, body, hidden"
_SHARED = {"nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "9p", "afs", "lustre", "ceph"}
"""Where SQLite's write-ahead log is not safe: it needs shared memory (sqlite.org/wal.html)."""


@dataclass(frozen=True)
class Resource:
    """One resource as it stood when it was read."""

    id: str
    seq: int
    body: dict[str, Any]
    hidden: dict[str, Any]
    key: str | None = None
    """Another name, that only one of its kind has."""


class ResourceStore:
    """The index. Every method is whole or not at all, from any thread.

    Any method raises StorageError if the disk is full or refuses the file.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._lock = threading.RLock()
        with self._storing():
            self._connection = sqlite3.connect(
                path, isolation_level=None, check_same_thread=False, timeout=30
            )
            journal = "DELETE" if _file_system(path) in _SHARED else "WAL"
            self._connection.execute(f"PRAGMA journal_mode={journal}")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.executescript(_SCHEMA)
            self._seal_older_rows()

    def _seal_older_rows(self) -> None:
        """An index of before digests gets them once; from then on a row without one was changed."""
        if not row_digest.columns_of(self._connection, "resources")[1]:
            with self.transaction():
                row_digest.seal(self._connection, "resources")

    def close(self) -> None:
        """Closes the file."""
        with self._lock, self._storing():
            self._connection.close()

    @contextmanager
    def _storing(self) -> Iterator[None]:
        """A disk that cannot take or give the file, or a damaged file, becomes a StorageError."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                raise damaged(self._path, error) from error
            told = translate_database(error, self._path)
            if told is error:
                raise
            raise told from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything within happens together, and nobody else is between."""
        with self._lock, self._storing():
            if self._connection.in_transaction:
                yield
                return
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.OperationalError):  # a full disk may have ended it already
                    self._connection.execute("ROLLBACK")
                raise

    def add(
        self,
        kind: Kind,
        identity: str,
        body: dict[str, Any],
        hidden: dict[str, Any] | None = None,
        key: str | None = None,
    ) -> Resource:
        """Adds a resource; `key` is another name that only one of its kind may have.

        Raises:
            ApiError: there is one with that id or key.
        """
        with self.transaction():
            try:
                found = self._connection.execute(
                    "INSERT INTO resources (kind, id, key, body, hidden, row_digest) "
                    "VALUES (?, ?, ?, ?, ?, ?)",
                    _sealed(kind, identity, key, json.dumps(body), json.dumps(hidden or {})),
                )
            except sqlite3.IntegrityError as error:
                raise ApiError("ALREADY_EXISTS", f"there is a {kind} {key or identity!r} already") from error
            return Resource(identity, int(found.lastrowid or 0), body, hidden or {}, key)

    def get(self, kind: Kind, identity: str) -> Resource:
        """A resource by its id.

        Raises:
            ApiError: there is none.
        """
        found = self._one("kind = ? AND id = ?", kind, identity)
        if found is None:
            raise ApiError("NOT_FOUND", f"there is no {kind} {identity!r}")
        return found

    def by_key(self, kind: Kind, key: str) -> Resource | None:
        """A resource by its key."""
        return self._one("kind = ? AND key = ?", kind, key)

    def change(
        self,
        kind: Kind,
        identity: str,
        body: dict[str, Any] | None = None,
        hidden: dict[str, Any] | None = None,
    ) -> Resource:
        """Changes some fields of a resource; None removes a field."""
        with self.transaction():
            old = self.get(kind, identity)
            new = Resource(identity, old.seq, _merged(old.body, body), _merged(old.hidden, hidden), old.key)
            self._replace(kind, new)
            return new

    def rename(self, kind: Kind, identity: str, key: str | None) -> None:
        """Gives a resource another key."""
        with self.transaction():
            self._replace(kind, replace(self.get(kind, identity), key=key))

    def _replace(self, kind: Kind, new: Resource) -> None:
        sealed = _sealed(kind, new.id, new.key, json.dumps(new.body), json.dumps(new.hidden))
        self._connection.execute(
            "UPDATE resources SET key = ?, body = ?, hidden = ?, row_digest = ? WHERE seq = ?",
            (*sealed[2:], new.seq),
        )

    def remove(self, kind: Kind, identity: str) -> None:
        """Removes a resource, which must be there."""
        with self.transaction():
            self.get(kind, identity)
            self._connection.execute("DELETE FROM resources WHERE kind = ? AND id = ?", (kind, identity))

    def where(self, kind: Kind, **equal: Any) -> list[Resource]:
        """All resources whose fields have these values (a list: one of these), the oldest first."""
        clauses, values = ["kind = ?"], [kind]
        for name, wanted in equal.items():
            options = wanted if isinstance(wanted, list) else [wanted]
            clauses.append(f"json_extract(body, '$.{name}') IN ({', '.join('?' * len(options))})")
            values += options
        return self._many(f"{' AND '.join(clauses)} ORDER BY seq", *values)

    def page(self, kind: Kind, asked: Query) -> tuple[list[Resource], str, int]:
        """A page of resources, the token of the next page (empty: there is none), and how many there are."""
        where, values = f"kind = ? AND {asked.where}", [kind, *asked.values]
        with self._lock, self._storing():
            counted = f"SELECT count(*) FROM resources WHERE {where}"  # noqa: S608
            total = self._connection.execute(counted, values).fetchone()[0]
            order = "DESC" if asked.descending else "ASC"
            sign = "<" if asked.descending else ">"
            begins = read_token(asked)
            if begins is not None:
                where += f" AND (coalesce({asked.column}, ''), seq) {sign} (coalesce(?, ''), ?)"
                values += begins
            column = f"coalesce({asked.column}, '')"
            found = self._connection.execute(
                f"SELECT {_COLUMNS}, {asked.column} FROM resources WHERE {where} "  # noqa: S608
                f"ORDER BY {column} {order}, seq {order} LIMIT ?",
                [*values, asked.size + 1],
            ).fetchall()
        shown = found[: asked.size]
        token = make_token(asked, shown[-1][-1], shown[-1][0]) if len(found) > asked.size else ""
        return [self._resource(row[:-1]) for row in shown], token, int(total)

    def _one(self, where: str, *values: Any) -> Resource | None:
        return next(iter(self._many(f"{where} LIMIT 1", *values)), None)

    def _many(self, where: str, *values: Any) -> list[Resource]:
        # Names of columns come from this package, values are bound.
        with self._lock, self._storing():
            rows = self._connection.execute(
                f"SELECT {_COLUMNS} FROM resources WHERE {where}",  # noqa: S608
                values,
            ).fetchall()
        return [self._resource(row) for row in rows]

    def _resource(self, row: tuple[Any, ...]) -> Resource:
        """The resource of a row that is as it was written."""
        seq, digest, kind, identity, key, body, hidden = row
        if digest != row_digest.digest_of((kind, identity, key, body, hidden)):
            raise damaged(self._path, f"the {kind} {identity!r:.80} was changed in its row")
        return Resource(identity, seq, json.loads(body), json.loads(hidden), key)


def _sealed(*values: str | None) -> tuple[str | None, ...]:
    """A row's kind, id, key, body and hidden, with their digest."""
    return (*values, row_digest.digest_of(values))


def _merged(old: dict[str, Any], new: dict[str, Any] | None) -> dict[str, Any]:
    return {key: value for key, value in {**old, **(new or {})}.items() if value is not None}


def _file_system(path: Path) -> str:
    """The type of the file system that holds `path`, as Linux names it; empty elsewhere."""
    try:
        mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    except OSError:
        return ""
    around = [(len(m[1]), m[2]) for m in mounts if path.resolve().is_relative_to(m[1].replace("\\040", " "))]
    return max(around, default=(0, ""))[1]
