"""A server process seen from outside: its command line, its state file, its start and its end.

Commands, releases and the trial of a package all start the same server, and none of them imports it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from linnet.config import ServingConfig
from linnet.errors import ServingError
from linnet.process import background
from linnet.process.state import ProcessState


@dataclass(frozen=True)
class ServerState(ProcessState):
    """Where a server is, and how it is ordered about."""

    token: str = field(repr=False)
    """Opens the admin routes."""
    models: list[str] | None = None
    """Names of the models that it serves; None: an older Linnet started it, which wrote none."""
    unserved: dict[str, str] = field(default_factory=dict)
    """Models that it was to serve and could not load, with why: the next start tries them again."""

    @property
    def wanted(self) -> list[str]:
        """All models that it was to serve."""
        return sorted({*(self.models or []), *self.unserved})

    def check_release(self) -> None:
        """Raises ServingError if an older Linnet started the server: it does not tell models apart."""
        if self.models is None:
            raise ServingError(
                f"the server at {self.url} was started by an older version of Linnet: stop it with "
                "`linnet down` and start it again with `linnet up`"
            )


@dataclass(frozen=True)
class ModelToServe:
    """A model as a server is started with it."""

    name: str
    version: str
    package: Path
    config: ServingConfig | None = None
    """Its own limits; None: the server's."""


def server_command(
    package: Path,
    version: str,
    serving: ServingConfig,
    state_file: Path,
    log_dir: Path,
    name: str | None = None,
) -> list[str]:
    """The words that start a server for one model (`name` None: the package's); flags may follow."""
    words = ["--package", str(package), "--version", version]
    words += ["--name", name] if name is not None else []
    return _command(words, serving, state_file, log_dir)


def models_command(
    models: Sequence[ModelToServe], serving: ServingConfig, state_file: Path, log_dir: Path
) -> list[str]:
    """The words that start a server for several models, each by its name; flags may follow."""
    entries = [
        {"name": model.name, "version": model.version, "package": str(model.package)}
        | ({} if model.config is None else {"config": model.config.model_dump(mode="json")})
        for model in models
    ]
    return _command(["--models-json", json.dumps(entries)], serving, state_file, log_dir)


def _command(words: list[str], serving: ServingConfig, state_file: Path, log_dir: Path) -> list[str]:
    command = [sys.executable, "-m", "linnet.serving", *words]
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

        def read_state(process: background.Process) -> ServerState | None:
            state = ServerState.read(state_file)
            return state if state is not None and state.pid == process.pid else None

        self._process, self.state = background.start(
            command, output, read_state=read_state, error_for=_failed, own_session=own_session
        )

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    def stop(self) -> None:
        """Asks the process to end, and makes it if it does not."""
        background.end(self._process)


def _failed(said: str) -> ServingError:
    return ServingError(said or "it exited without output")
