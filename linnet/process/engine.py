"""Where this machine's engine is: its folder, its state file and its token."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from linnet.errors import RunError
from linnet.process.background import STOP_SECONDS
from linnet.process.state import ProcessState
from linnet.storage.paths import state_dir
from linnet.storage.secret_file import secret_in

TOKEN = "LINNET_ENGINE_TOKEN"  # noqa: S105  the variable's name


def engine_dir() -> Path:
    """The engine's folder: index, lock, logs."""
    return state_dir() / "engine"


def engine_state_file() -> Path:
    """The file in which the engine says where it is."""
    return engine_dir() / "engine.json"


def token() -> str:
    """The bearer token that an engine asks of everybody, and that another host is sent; empty: none."""
    return os.environ.get(TOKEN, "")


def owner_token_file() -> Path:
    """The file with the token of whoever owns this state folder."""
    return engine_dir() / "owner.token"


def owner_token() -> str:
    """The bearer token by which this machine's engine knows its owner; made at the first call.

    Raises:
        StorageError: others may have read or written its file.
    """
    return secret_in(owner_token_file())


@dataclass(frozen=True)
class EngineState(ProcessState):
    """Where an engine is."""

    folder: str
    """Its working folder: relative paths of a config are meant from there."""

    def wait_for_end(self, who: str) -> None:
        """Waits until its process is gone.

        Raises:
            RunError: it does not end within `background.STOP_SECONDS`; the text names `who`.
        """
        if not self.wait_for_exit(STOP_SECONDS):
            raise RunError(f"{who} (process {self.pid}) did not end within {STOP_SECONDS:.0f} seconds")
