"""The audit log: a line for each thing that someone did, or tried to do, through the console."""

from __future__ import annotations

import fcntl
import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from linnet.records import Record, now

MOST_LINES = 500


class AuditLine(Record):
    """Who did what to which thing, why, and how it ended."""

    at: datetime
    actor: str
    role: str
    action: str
    subject: str
    reason: str = ""
    outcome: Literal["done", "refused", "failed"]
    detail: str = ""


class AuditLog:
    """An append-only file of JSON lines; each is on the disk before the caller goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def append(self, line: AuditLine) -> None:
        """Adds a line; one process at a time."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.write(line.model_dump_json() + "\n")
            file.flush()
            os.fsync(file.fileno())

    def write(self, actor: str, role: str, action: str, subject: str, **more: Any) -> None:
        """Adds a line of the present moment."""
        self.append(AuditLine(at=now(), actor=actor, role=role, action=action, subject=subject, **more))

    def lines(self) -> list[AuditLine]:
        """The last lines, the newest first; one that a kill tore is left out."""
        try:
            texts = self._path.read_bytes().splitlines()[-MOST_LINES:]
        except FileNotFoundError:
            return []
        found = []
        for text in texts:
            try:
                found.append(AuditLine.model_validate(json.loads(text)))
            except ValueError:
                continue
        return found[::-1]
