"""Which process a state file means, and whether that very one still runs."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from linnet.storage.files import listed
from linnet.storage.secret_file import write_secret


def started_at(pid: int) -> int | None:
    """When a process began, in clock ticks after boot (proc(5)); None if it is gone or only a zombie.

    An id alone may name another process by now; id and start time together do not.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


@dataclass(frozen=True)
class ProcessState:
    """Where a server is: its state file's contents."""

    url: str
    pid: int
    instance: str
    """When its process began, as `started_at` says it: its id may be somebody else's by now."""

    @classmethod
    def of(cls, pid: int, url: str, *more: Any) -> Self:
        """The state of the process `pid`, which runs; `more`: the fields that a subclass adds."""
        return cls(url, pid, str(started_at(pid)), *more)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The state of the server that wrote `path`; None if there is none, or its process is gone."""
        state = cls.last(path)
        return state if state is not None and state.is_running() else None

    @classmethod
    def last(cls, path: Path) -> Self | None:
        """What the last server wrote to `path`, also if its process is gone; None if there is nothing."""
        try:
            return cls(**{"instance": "", **json.loads(path.read_bytes())})  # older ones wrote none
        except (OSError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Writes the state file, whole, readable by its owner only (it may hold a token)."""
        write_secret(path, json.dumps(asdict(self)))

    def is_running(self) -> bool:
        """Whether the very process that wrote it still runs."""
        try:
            os.kill(self.pid, 0)  # where there is no /proc, this is all that can be asked
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # another user's
        return str(started_at(self.pid)) == self.instance

    def wait_for_exit(self, seconds: float) -> bool:
        """Waits until its process is gone; whether it went in time."""
        until = time.monotonic() + seconds
        while self.is_running():
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True


def running_servers(home: Path) -> list[str]:
    """What runs on a state folder, by the names of the state files: engine, server, console and others."""
    files = [
        file
        for folder in listed(home)
        for inside in (folder, *listed(folder))
        for file in listed(inside, "*.json")
    ]
    return sorted({path.stem for path in files if _server_runs(path)})


def _server_runs(path: Path) -> bool:
    try:
        values = json.loads(path.read_bytes())
        return ProcessState(values["url"], values["pid"], values["instance"]).is_running()
    except (OSError, ValueError, KeyError, TypeError):
        return False
