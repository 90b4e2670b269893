"""The label table: every answer that a person ever gave, append-only, with the time it became known.

Bitemporal: `labelled_at` is when a person answered, `created_at` when this table learnt of it. What
was known at a past moment never changes, whatever is appended later and however clocks are set.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, get_args

from linnet.errors import DataError
from linnet.labels.store import EPOCH, database, from_micros, to_micros, transaction
from linnet.records import now
from linnet.storage.row_digest import COLUMN, digest_of
from linnet.storage.sqlite import damaged
from linnet.tasks.label_form import Status

_FIELDS = (
    "sample_id, label, annotator, agreement, labelled_at, created_at, batch, status, comment, "
    "reason, latency, source"
)
_CONFLICT = "the same person, sample, batch and time already has another answer"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRow:
    """One answer of one person about one sample; `label` is empty unless `status` is `label`."""

    sample_id: str
    label: str
    annotator: str
    labelled_at: datetime
    batch: str = ""
    """Which labelling round asked for it."""
    agreement: float | None = None
    """Share of annotators behind it, where the source says so."""
    status: Status = "label"
    comment: str = ""
    reason: str = ""
    """Why the sample was chosen: the first reason of its request."""
    latency: float | None = None
    """Seconds from the export of the question to the answer."""
    source: str = ""
    """The answer's own name where it was given, with its version; one row at most has it."""
    created_at: datetime = EPOCH
    """Set by the table, whatever is given."""

    def __post_init__(self) -> None:
        """Refuses rows that could never be used.

        Raises:
            DataError: an unknown status, a time without a zone, or no sample, label or annotator.
        """
        where = f"label of sample '{self.sample_id}' by '{self.annotator}'"
        if self.status not in get_args(Status):
            raise DataError(where, f"unknown status '{self.status}'", f"use {', '.join(get_args(Status))}")
        if not self.sample_id or not self.annotator or bool(self.label) != (self.status == "label"):
            raise DataError(where, "needs a sample, an annotator, and a label if and only if it is labelled")
        to_micros(self.labelled_at)


@dataclass(frozen=True, slots=True)
class Appended:
    """What an append did: rows that are new, that were there, and that were put into quarantine."""

    added: int
    repeated: int
    quarantined: int


class LabelTable:
    """The labels of one dataset, in one local file that many processes may append to."""

    def __init__(self, name: str, clock: Callable[[], datetime] = now) -> None:
        self.path = database(name)
        self._clock = clock

    def append(self, rows: Iterable[LabelRow]) -> Appended:
        """Adds rows, all or none; a correction is a new row with a later `labelled_at`.

        Idempotent: a row whose `source`, or whose (sample_id, annotator, batch, labelled_at), is there
        is not added again. If it says something else, it goes to the quarantine: nothing is
        overwritten or lost.

        Raises:
            StorageError: the disk is full, or the table is damaged.
        """
        added = repeated = quarantined = 0
        with transaction(self.path, write=True) as connection:
            created = self._advance(connection, 1)
            for row in rows:
                values = _values(replace(row, created_at=from_micros(created)))
                marks = ", ".join("?" * (len(values) + 1))
                sql = f"INSERT OR IGNORE INTO labels ({_FIELDS}, {COLUMN}) VALUES ({marks})"  # noqa: S608
                if connection.execute(sql, (*values, digest_of(values))).rowcount:
                    added += 1
                elif _same(connection, row):
                    repeated += 1
                else:
                    quarantined += _quarantine(connection, row, _CONFLICT, created)
        return Appended(added, repeated, quarantined)

    def freeze(self) -> datetime:
        """The present moment, such that whatever is appended from now on counts as known later."""
        with transaction(self.path, write=True) as connection:
            return from_micros(self._advance(connection, 0))

    def horizon(self) -> datetime:
        """The latest moment at which the table can have learnt of any answer that it has now."""
        with transaction(self.path, write=False) as connection:
            return from_micros(int(connection.execute("SELECT moment FROM horizon").fetchone()[0]))

    def as_of(self, moment: datetime) -> list[LabelRow]:
        """What was known at `moment`: each annotator's newest answer a sample, in order of both.

        Newest is latest `created_at`, then `labelled_at`, then order of arrival.
        """
        sql = f"""SELECT {_FIELDS}, {COLUMN} FROM (
            SELECT *, ROW_NUMBER() OVER (PARTITION BY sample_id, annotator
              ORDER BY created_at DESC, labelled_at DESC, sequence DESC) AS age
            FROM labels WHERE created_at <= ?)
            WHERE age = 1 ORDER BY sample_id, annotator"""  # noqa: S608  constants only
        return self._read(sql, (to_micros(moment),))

    def history(self, sample_id: str = "") -> list[LabelRow]:
        """Every row ever appended (of one sample, if given), in order of arrival."""
        where = "WHERE sample_id = ?" if sample_id else ""
        sql = f"SELECT {_FIELDS}, {COLUMN} FROM labels {where} ORDER BY sequence"  # noqa: S608  constants only
        return self._read(sql, (sample_id,) if sample_id else ())

    def digest(self, moment: datetime) -> str:
        """32 hex digits over `as_of(moment)`."""
        digest = hashlib.blake2b(digest_size=16)
        for row in self.as_of(moment):
            digest.update(json.dumps(_values(row)).encode() + b"\n")
        return digest.hexdigest()

    def quarantine(self, row: LabelRow, reason: str) -> None:
        """Keeps a row that must not count, with the reason; once, however often it comes."""
        with transaction(self.path, write=True) as connection:
            _quarantine(connection, row, reason, to_micros(self._clock()))

    def quarantine_answer(self, answer: Mapping[str, Any], reason: str) -> None:
        """Keeps an answer that does not even make a row, with the reason; once, however often it comes."""
        with transaction(self.path, write=True) as connection:
            _keep(connection, json.dumps(answer, sort_keys=True), reason, to_micros(self._clock()))

    def quarantined(self) -> list[tuple[str, str]]:
        """(row as JSON, reason) of every row in quarantine, in order of arrival."""
        with transaction(self.path, write=False) as connection:
            return list(connection.execute("SELECT row, reason FROM quarantine ORDER BY sequence"))

    def _advance(self, connection: sqlite3.Connection, step: int) -> int:
        """Moves the horizon: no later append is created at or before it, even if the clock goes back."""
        last = int(connection.execute("SELECT moment FROM horizon").fetchone()[0])
        moment = max(to_micros(self._clock().astimezone(UTC)), last + step)
        connection.execute("UPDATE horizon SET moment = ?", (moment,))
        return moment

    def _read(self, sql: str, values: tuple[object, ...]) -> list[LabelRow]:
        with transaction(self.path, write=False) as connection:
            return [self._row(*found) for found in connection.execute(sql, values)]

    def _row(self, *found: Any) -> LabelRow:
        """The answer of a row that is as it was written; the last value is its digest."""
        facts = dict(zip(_FIELDS.split(", "), found[:-1], strict=True))
        if found[-1] != digest_of(found[:-1]):
            who = f"{facts['annotator']!r:.60} about the sample {facts['sample_id']!r:.60}"
            raise damaged(self.path, f"the answer of {who} was changed in its row")
        times = {name: from_micros(facts[name]) for name in ("labelled_at", "created_at")}
        return LabelRow(**{**facts, **times})


def _values(row: LabelRow) -> tuple[str | int | float | None, ...]:
    return (
        row.sample_id,
        row.label,
        row.annotator,
        row.agreement,
        to_micros(row.labelled_at),
        to_micros(row.created_at),
        row.batch,
        row.status,
        row.comment,
        row.reason,
        row.latency,
        row.source,
    )


def _same(connection: sqlite3.Connection, row: LabelRow) -> bool:
    key = (row.sample_id, row.annotator, row.batch, to_micros(row.labelled_at))
    sql = "SELECT label, status FROM labels WHERE (sample_id, annotator, batch, labelled_at) = (?, ?, ?, ?)"
    return bool(connection.execute(sql, key).fetchone() == (row.label, row.status))


def _quarantine(connection: sqlite3.Connection, row: LabelRow, reason: str, created: int) -> int:
    text = json.dumps(asdict(replace(row, created_at=EPOCH)), default=str, sort_keys=True)
    return _keep(connection, text, reason, created)


def _keep(connection: sqlite3.Connection, text: str, reason: str, created: int) -> int:
    sql = "INSERT OR IGNORE INTO quarantine (reason, row, created_at) VALUES (?, ?, ?)"
    return connection.execute(sql, (reason, text, created)).rowcount
