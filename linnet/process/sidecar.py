"""Servers that `linnet up` starts beside the engine: each a process of its own with a state file.

A console that is busy with pictures, or a label service that waits for its server, holds up neither the
engine nor the model's server, and one that dies takes nothing with it.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from linnet.errors import LinnetError, RunError
from linnet.process import background
from linnet.process.engine import EngineState
from linnet.process.web import listen, url_of, web_server
from linnet.storage.paths import state_dir

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

_started: dict[int, background.Process] = {}
"""What this process started."""


@dataclass(frozen=True)
class Sidecar:
    """One such server: `python -m MODULE`, at most one a state folder."""

    name: str
    """Of its folder in the state folder, and of what people read."""
    module: str

    @property
    def folder(self) -> Path:
        """Its folder: state file and log."""
        return state_dir() / self.name

    @property
    def state_file(self) -> Path:
        """Where it says where it is."""
        return self.folder / f"{self.name}.json"

    def running(self) -> EngineState | None:
        """Where it is, if it runs."""
        return EngineState.read(self.state_file)

    def start(self, *words: str) -> EngineState:
        """Starts it in the background, in a session of its own, and waits until it listens.

        Raises:
            RunError: it ended, or did not listen in time; the text is the last thing that it said.
        """
        command = [sys.executable, "-m", self.module, *words]
        output = self.folder / f"{self.name}.log"
        process, state = background.start(command, output, read_state=self._state_of, error_for=self._failed)
        _started[state.pid] = process
        return state

    def _state_of(self, process: background.Process) -> EngineState | None:
        state = self.running()
        return state if state is not None and state.pid == process.pid else None

    def _failed(self, said: str) -> RunError:
        return RunError(said or f"the {self.name} exited without output")

    def stop(self) -> bool:
        """Asks it to end and waits for that; whether there was one.

        Raises:
            RunError: it does not end.
        """
        state = self.running()
        if state is None:
            return False
        os.kill(state.pid, signal.SIGTERM)
        state.wait_for_end(f"the {self.name}")
        if (process := _started.pop(state.pid, None)) is not None:
            process.wait()
        self.state_file.unlink(missing_ok=True)
        return True

    def serve(self, app: Starlette, bind: str, port: int, ready: Callable[[str], None]) -> None:
        """Inside its process: listens, says where, and serves until it is told to end.

        Args:
            app: what it serves.
            bind: the address to listen on.
            port: 0 takes a free one.
            ready: is given the server's address before the first request is answered.

        Raises:
            RunError: the port is taken.
        """
        listening = listen(self.name, bind, port)
        state = EngineState.of(os.getpid(), url_of(listening, bind), str(Path.cwd()))
        server = web_server(app)
        threading.Thread(target=self._announce, args=(server, state), daemon=True).start()
        ready(state.url)
        server.run(sockets=[listening])

    def _announce(self, server: uvicorn.Server, state: EngineState) -> None:
        while not server.started:
            time.sleep(0.005)
        self.folder.mkdir(parents=True, exist_ok=True)
        state.write(self.state_file)


def stop_all(stops: Iterable[Callable[[], bool]]) -> bool:
    """Stops one after the other; whether any ran. One that does not end keeps none of the others running.

    Raises:
        LinnetError: one did not end; all others were stopped.
    """
    stopped, problems = False, []
    for stop in stops:
        try:
            stopped = stop() or stopped
        except LinnetError as error:
            problems.append(error)
    if problems:
        raise problems[0]
    return stopped


def free_port(bind: str, preferred: int) -> int:
    """The port that people expect, or 0 (any free one) where somebody answers on it already."""
    return 0 if _taken(bind, preferred) else preferred


def _taken(bind: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in bind else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex((bind, port)) == 0
