"""A server process seen from outside: its command line, its state file, its start and its end.

Commands, releases and the trial of a package all start the same server, and none of them imports it.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from linnet import background
from linnet.config import ServingConfig
from linnet.errors import ServingError
from linnet.files import replacing


@dataclass(frozen=True, slots=True)
class ServerState:
    """Where a server is: the state file's contents."""

    url: str
    pid: int
    token: str = field(repr=False)
    """Opens the admin routes."""

    @classmethod
    def read(cls, path: Path) -> ServerState | None:
        """The state of the server that wrote `path`; None if there is none, or its process is gone."""
        try:
            values = json.loads(path.read_bytes())
            state = cls(values["url"], values["pid"], values["token"])
            os.kill(state.pid, 0)
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return state

    def write(self, path: Path) -> None:
        """Writes the state file, whole, readable by its owner only (it holds the admin token)."""
        with replacing(path) as scratch:
            descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                json.dump(asdict(self), file)


def server_command(
    package: Path, version: str, serving: ServingConfig, state_file: Path, log_dir: Path
) -> list[str]:
    """The words that start a server; flags may follow."""
    command = [sys.executable, "-m", "linnet.serving", "--package", str(package), "--version", version]
    command += ["--config-json", serving.model_dump_json(), "--state-file", str(state_file)]
    return [*command, "--log-dir", str(log_dir)]


class ServerProcess:
    """A server that was started here and listens. What it prints goes to the file `output`."""

    def __init__(
        self, command: list[str], state_file: Path, output: Path, *, own_session: bool = True
    ) -> None:
        """Starts the server and waits until it listens; `own_session`: Ctrl-C here does not reach it.

        Raises:
            ServingError: it ended, or did not listen in time; the text is the last thing it said.
        """
        state_file.unlink(missing_ok=True)

        def find(process: background.Process) -> ServerState | None:
            state = ServerState.read(state_file)
            return state if state is not None and state.pid == process.pid else None

        self._process, self.state = background.start(
            command, output, find=find, failed=_failed, own_session=own_session
        )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def stop(self) -> None:
        """Asks the process to end, and makes it if it does not."""
        background.end(self._process)


def _failed(said: str) -> ServingError:
    return ServingError(said or "it ended and said nothing")
