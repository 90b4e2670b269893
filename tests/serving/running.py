"""Starts the real server process for a test, and stops it."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from linnet.process.model_server import ServerState
from linnet.serving.client import ServerClient
from linnet.vision.decode import encode_png
from tests.serving.packages import image_of

START_SECONDS = 150.0  # the machine may be busy; a start takes about one second


class RunningServer:
    """A server process on a free port: `client`, `process`, `log_dir`; `stop()` gives its exit status."""

    def __init__(self, folder: Path, package: Path | None, version: str = "1", *flags: str) -> None:
        """`package` None: the flags say what is served."""
        folder.mkdir(parents=True, exist_ok=True)
        self.log_dir, self.state_file, self.errors = folder / "log", folder / "server.json", folder / "stderr"
        command = [sys.executable, "-m", "linnet.serving"]
        command += [] if package is None else ["--package", str(package), "--version", version]
        command += [
            "--port",
            "0",
            "--state-file",
            str(self.state_file),
            "--log-dir",
            str(self.log_dir),
            *flags,
        ]
        with self.errors.open("wb") as errors:
            self.process = subprocess.Popen(command, stderr=errors)
        until = time.monotonic() + START_SECONDS
        while not self.state_file.exists():
            if self.process.poll() is not None or time.monotonic() > until:
                self.process.kill()
                raise AssertionError(f"the server did not start: {self.errors.read_text()}")
            time.sleep(0.01)
        state = ServerState.read(self.state_file)
        assert state is not None
        self.state = state
        assert state.models
        self.client = ServerClient(state.url, state.token, model=state.models[0])

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(120)


@contextlib.contextmanager
def running(folder: Path, package: Path | None, version: str = "1", *flags: str) -> Iterator[RunningServer]:
    server = RunningServer(folder, package, version, *flags)
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
        server.client.close()


def png(level: int, side: int = 8) -> bytes:
    """A PNG of one gray level."""
    return encode_png(image_of(level, side, side))


def noise_png(seed: int, side: int = 8) -> bytes:
    """A PNG of random pixels around a random level."""
    rng = np.random.default_rng(seed)
    level = rng.integers(30, 226)
    return encode_png(rng.integers(level - 30, level + 30, (side, side, 1)).astype(np.uint8))
