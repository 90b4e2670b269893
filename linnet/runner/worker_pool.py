"""Worker processes as the server sees them: started through the fork server, and ended whole."""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from linnet.cache.key import source_states
from linnet.config import ContainerSetting
from linnet.errors import RunError
from linnet.process import tree
from linnet.process.state import started_at
from linnet.runner.containers import sweep
from linnet.storage.files import write_text


class Workers:
    """Starts workers, and knows which pipelines this installation compiles."""

    def __init__(self, log: Path, compiler: str, preload: Sequence[str] = ()) -> None:
        """`log`: where the fork server writes; `compiler`, `preload`: see linnet.runner.forkserver."""
        self._log, self._compiler, self._preload = log, compiler, tuple(preload)
        self._lock = threading.RLock()
        self._spawning = threading.Lock()
        self._closed = False
        self._forkserver: subprocess.Popen[str] | None = None
        self._loaded: object = None
        self._pipelines: tuple[object, dict[str, str]] | None = None

    def prepare(self) -> None:
        """Loads what a first run would wait for."""
        with contextlib.suppress(RunError):  # the first run will say it
            self.configured()

    def start(
        self, folder: Path, width: int, closing: str = "", containers: ContainerSetting = "auto"
    ) -> None:
        """Starts a worker on a run's folder; one that is `closing` a run runs its exit tasks alone.

        `containers`: what runs container components.

        Raises:
            RunError: it cannot be started.
        """
        request = {"folder": str(folder), "width": width, "closing": closing, "containers": containers}
        answer = self._ask(request)
        write_text(folder / "worker.json", json.dumps(answer))

    def configured(self) -> dict[str, str]:
        """The names of the pipelines that this installation compiles, by what they would execute."""
        with self._lock:
            files = _pipeline_files(self._compiler)
            if self._pipelines is None or self._pipelines[0] != files:
                answer = self._ask({})
                if "error" in answer:
                    raise RunError(f"{answer['error']}: see {self._log}")
                self._pipelines = files, answer
            return self._pipelines[1]

    def close(self) -> None:
        """Ends the fork server at once, also while it loads; workers go on."""
        with self._spawning:  # or one that is just being started would stay
            self._closed = True
            server = self._forkserver
        if server is not None:
            server.kill()
            with self._lock, server:  # who waits for an answer is told first; then its pipes are closed
                pass

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        with self._lock:
            for _ in range(2):  # a fork server that was killed is replaced
                server = self._ready()
                assert server.stdin and server.stdout
                with contextlib.suppress(OSError, ValueError):
                    server.stdin.write(json.dumps(request) + "\n")
                    server.stdin.flush()
                    answer: dict[str, Any] = json.loads(server.stdout.readline())
                    return answer
                server.kill()
            raise RunError(f"no worker can be started: see {self._log}")

    def _ready(self) -> subprocess.Popen[str]:
        """The fork server, with today's sources."""
        if self._closed:
            raise RunError("the engine ends: no worker is started")
        files = source_states()
        if self._forkserver is not None and (self._forkserver.poll() is not None or self._loaded != files):
            self._forkserver.kill()
            self._forkserver.wait()
            self._forkserver = None
        if self._forkserver is None:
            self._loaded = files
            with self._spawning, self._log.open("ab") as log:
                if self._closed:
                    raise RunError("the engine ends: no worker is started")
                self._forkserver = subprocess.Popen(
                    [sys.executable, "-m", "linnet.runner.forkserver", self._compiler, *self._preload],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    text=True,
                    start_new_session=True,
                )
            assert self._forkserver.stdout
            if self._forkserver.stdout.readline() != "ready\n":
                raise RunError(f"no worker can be started: see {self._log}")
        return self._forkserver


def interrupt(folder: Path) -> bool:
    """Asks a run's worker to end, which stops its programs; whether there is a worker to hear it."""
    if (pid := _process(folder)) is None:
        return False
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGINT)
    return True


def end(folder: Path) -> None:
    """Ends a run's worker and everything that it started, at once."""
    if (pid := _process(folder)) is not None:
        tree.kill_tree(pid)
    sweep(folder)


def _process(folder: Path) -> int | None:
    """The worker's process id, if that is still the worker."""
    try:
        told = json.loads((folder / "worker.json").read_text())
    except (OSError, ValueError):
        return None
    alive = started_at(told["pid"])
    return int(told["pid"]) if alive is not None and alive == told["started"] else None


def _pipeline_files(compiler: str) -> tuple[tuple[str, int], ...]:
    """What a compiled pipeline is made of: components and pipelines, with times of change."""
    spec = importlib.util.find_spec(compiler)
    assert spec is not None and spec.origin is not None
    root = Path(spec.origin).parent.parent
    files = [*(root / "components").glob("*.py"), *(root / "pipelines").glob("*.py")]
    return tuple((str(file), file.stat().st_mtime_ns) for file in sorted(files))
