"""Sessions of the console: whose they are, until when, and which were ended before their time.

A session ends on the server: a cookie that was copied, and a page that is still open in another tab, can do
nothing after a log-out.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from linnet.storage.secret_file import write_secret

Role = Literal["viewer", "operator"]


@dataclass(frozen=True)
class Session:
    """One person's time in the console."""

    role: Role
    end: int
    """Seconds since the epoch."""
    id: str


class EndedSessions:
    """Sessions that were logged out, kept until they would have ended by themselves; also over a restart."""

    def __init__(self, path: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock
        self._lock = threading.Lock()
        self._ends: dict[str, int] = {}
        if path is not None:
            with contextlib.suppress(OSError, ValueError, AttributeError, TypeError):
                self._ends = {str(id): int(end) for id, end in json.loads(path.read_bytes()).items()}

    def add(self, session: Session) -> None:
        """Ends a session now; it is on the disk before this returns.

        Raises:
            OSError: it cannot be written; it is ended in this process nonetheless.
        """
        with self._lock:
            self._ends = {id: end for id, end in self._ends.items() if end > self._clock()}
            self._ends[session.id] = session.end
            if self._path is not None:
                write_secret(self._path, json.dumps(self._ends))

    def holds(self, session: Session) -> bool:
        """Whether a session was ended before its time."""
        return session.id in self._ends
