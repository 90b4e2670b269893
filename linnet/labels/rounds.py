"""What was exported where, how far collecting came, and which rounds are closed: in the labels' file.

Everything here may be lost to a kill between two writes and is then found again by looking at the
server or at the label table; nothing here is the only place of an answer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from linnet.labels.queue import LabelRequest
from linnet.labels.store import database, from_micros, to_micros, transaction
from linnet.records import now


@dataclass(frozen=True, slots=True)
class LabelTask:
    """A request as it was exported."""

    batch: str
    sample_id: str
    server: str
    project: int
    id: int
    wanted: int
    """People who have to answer it."""
    exported_at: datetime
    gone: str
    """Why nobody can answer it any more; empty: it is there."""

    @property
    def key(self) -> str:
        """Its idempotency key on the server."""
        return f"{self.batch}:{self.sample_id}"


@dataclass(frozen=True, slots=True)
class Round:
    """A batch whose tasks are all answered, or that was closed early."""

    batch: str
    closed_at: datetime
    version: str
    """The `.dvc` file of its label set; empty: not yet cut."""
    run_id: str
    """The training run that it caused; empty: not yet requested."""


class Rounds:
    """The bookkeeping of one dataset's labelling rounds."""

    def __init__(self, name: str) -> None:
        self.path = database(name)

    def unexported(self) -> list[LabelRequest]:
        """Requests that have no task, in order."""
        sql = """SELECT request FROM requests r WHERE NOT EXISTS (
            SELECT 1 FROM tasks t WHERE t.batch = r.batch AND t.sample_id = r.sample_id)
            ORDER BY sequence"""
        with transaction(self.path, write=False) as connection:
            return [LabelRequest.model_validate_json(row[0]) for row in connection.execute(sql)]

    def requests(self, batch: str = "") -> dict[str, LabelRequest]:
        """All requests, or those of a batch, by key."""
        sql = "SELECT request FROM requests WHERE ? IN ('', batch) ORDER BY sequence"
        with transaction(self.path, write=False) as connection:
            rows = connection.execute(sql, (batch,)).fetchall()
        found = [LabelRequest.model_validate_json(row[0]) for row in rows]
        return {f"{one.batch}:{one.sample_id}": one for one in found}

    def image(self, sample_id: str) -> bytes | None:
        """The image of a queued request."""
        with transaction(self.path, write=False) as connection:
            row = connection.execute("SELECT image FROM images WHERE sample_id = ?", (sample_id,)).fetchone()
        return bytes(row[0]) if row else None

    def tasks(self) -> dict[str, LabelTask]:
        """Every exported task by key."""
        sql = "SELECT batch, sample_id, server, project, task, wanted, exported_at, gone FROM tasks"
        with transaction(self.path, write=False) as connection:
            rows = connection.execute(sql + " ORDER BY rowid").fetchall()
        found = [
            LabelTask(batch, sample, server, project, task, wanted, from_micros(exported), gone)
            for batch, sample, server, project, task, wanted, exported, gone in rows
        ]
        return {task.key: task for task in found}

    def exported(self, server: str, project: int, tasks: Mapping[str, int], wanted: int) -> int:
        """Notes task ids by key, each once; how many were new."""
        moment = to_micros(now())
        rows = [(*key.split(":", 1), server, project, task, wanted, moment) for key, task in tasks.items()]
        sql = """INSERT OR IGNORE INTO tasks
            (batch, sample_id, server, project, task, wanted, exported_at) VALUES (?, ?, ?, ?, ?, ?, ?)"""
        with transaction(self.path, write=True) as connection:
            return sum(connection.execute(sql, row).rowcount for row in rows)

    def want(self, task: LabelTask, wanted: int) -> None:
        """Notes that one more person is asked."""
        self._update("UPDATE tasks SET wanted = ? WHERE batch = ? AND sample_id = ?", wanted, task)

    def lose(self, tasks: Iterable[LabelTask], reason: str) -> None:
        """Notes that tasks cannot be answered any more."""
        with transaction(self.path, write=True) as connection:
            sql = "UPDATE tasks SET gone = ? WHERE batch = ? AND sample_id = ?"
            connection.executemany(sql, [(reason, task.batch, task.sample_id) for task in tasks])

    def forget(self, tasks: Iterable[LabelTask]) -> None:
        """Makes tasks unexported again: their project is gone, and nobody answered them."""
        with transaction(self.path, write=True) as connection:
            sql = "DELETE FROM tasks WHERE batch = ? AND sample_id = ?"
            connection.executemany(sql, [(task.batch, task.sample_id) for task in tasks])

    def project(self, server: str) -> tuple[int, datetime] | None:
        """The project on a server, and the change up to which its answers were collected."""
        with transaction(self.path, write=False) as connection:
            sql = "SELECT project, cursor FROM projects WHERE server = ?"
            row = connection.execute(sql, (server,)).fetchone()
        return (int(row[0]), from_micros(row[1])) if row else None

    def set_project(self, server: str, project: int) -> None:
        """Remembers the project; a new one is collected from its beginning."""
        sql = """INSERT INTO projects (server, project) VALUES (?, ?) ON CONFLICT (server)
            DO UPDATE SET project = excluded.project, cursor = 0 WHERE project != excluded.project"""
        with transaction(self.path, write=True) as connection:
            connection.execute(sql, (server, project))

    def advance(self, server: str, cursor: datetime) -> None:
        """Moves the cursor forward, only ever after the answers up to it are in the table."""
        sql = "UPDATE projects SET cursor = max(cursor, ?) WHERE server = ?"
        with transaction(self.path, write=True) as connection:
            connection.execute(sql, (to_micros(cursor), server))

    def close(self, batch: str, moment: datetime) -> None:
        """Closes a round; the first time counts, so that its label set never changes."""
        with transaction(self.path, write=True) as connection:
            sql = "INSERT OR IGNORE INTO rounds (batch, closed_at) VALUES (?, ?)"
            connection.execute(sql, (batch, to_micros(moment)))

    def closed(self) -> dict[str, Round]:
        """Closed rounds by batch."""
        sql = "SELECT batch, closed_at, version, run_id FROM rounds ORDER BY closed_at"
        with transaction(self.path, write=False) as connection:
            rows = connection.execute(sql).fetchall()
        return {row[0]: Round(row[0], from_micros(row[1]), row[2], row[3]) for row in rows}

    def set_version(self, batch: str, version: str) -> None:
        """Notes the label set of a closed round."""
        with transaction(self.path, write=True) as connection:
            connection.execute("UPDATE rounds SET version = ? WHERE batch = ?", (version, batch))

    def set_run(self, batch: str, run_id: str) -> None:
        """Notes the run that a closed round caused."""
        with transaction(self.path, write=True) as connection:
            connection.execute("UPDATE rounds SET run_id = ? WHERE batch = ?", (run_id, batch))

    def take_event(self, action: str, body: bytes) -> bool:
        """Queues a webhook's message durably; False if this very message came before (a replay)."""
        digest = hashlib.blake2b(body, digest_size=16).hexdigest()
        sql = "INSERT OR IGNORE INTO events (digest, action, received_at) VALUES (?, ?, ?)"
        with transaction(self.path, write=True) as connection:
            return bool(connection.execute(sql, (digest, action, to_micros(now()))).rowcount)

    def events(self) -> list[tuple[int, str]]:
        """(number, action) of the messages that nobody acted on yet."""
        with transaction(self.path, write=False) as connection:
            return list(connection.execute("SELECT sequence, action FROM events WHERE done = 0"))

    def events_done(self, last: int) -> None:
        """Messages up to number `last` were acted on."""
        with transaction(self.path, write=True) as connection:
            connection.execute("UPDATE events SET done = 1 WHERE sequence <= ?", (last,))

    def _update(self, sql: str, value: int, task: LabelTask) -> None:
        with transaction(self.path, write=True) as connection:
            connection.execute(sql, (value, task.batch, task.sample_id))
