"""Where this machine's engine is: its folder, its state file and its token."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from linnet.background import STOP_SECONDS
from linnet.engine.kill import started_at
from linnet.errors import RunError
from linnet.files import write_text
from linnet.state import state_dir

TOKEN = "LINNET_ENGINE_TOKEN"  # noqa: S105  the variable's name


def engine_dir() -> Path:
    """The engine's folder: index, lock, logs."""
    return state_dir() / "engine"


def engine_state_file() -> Path:
    """The file in which the engine says where it is."""
    return engine_dir() / "engine.json"


def token() -> str:
    """The bearer token of the engine that is spoken to, or that is started; empty: none."""
    return os.environ.get(TOKEN, "")


@dataclass(frozen=True)
class EngineState:
    """Where an engine is."""

    url: str
    pid: int
    instance: str
    """When its process began (clock ticks after boot): an id alone may name another process by now."""
    folder: str
    """Its working folder: relative paths of a config are meant from there."""

    @classmethod
    def read(cls, path: Path) -> EngineState | None:
        """The state of the engine that wrote `path`; None if there is none, or its process is gone."""
        try:
            state = cls(**json.loads(path.read_bytes()))
        except (OSError, ValueError, TypeError):
            return None
        return state if state.runs() else None

    def write(self, path: Path) -> None:
        """Writes the state file."""
        write_text(path, json.dumps(asdict(self)))

    def runs(self) -> bool:
        """Whether the very process that wrote it still runs."""
        return str(started_at(self.pid)) == self.instance

    def wait_for_end(self, who: str) -> None:
        """Waits until its process is gone.

        Raises:
            RunError: it does not end within `background.STOP_SECONDS`; the text names `who`.
        """
        until = time.monotonic() + STOP_SECONDS
        while self.runs():
            if time.monotonic() > until:
                raise RunError(f"{who} (process {self.pid}) did not end within {STOP_SECONDS:.0f} seconds")
            time.sleep(0.02)
