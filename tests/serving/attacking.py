"""What an attacker has: raw bytes on a socket; and what a judge has: the memory of the server's processes."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from linnet.serving.client import ServerClient
from tests.serving.running import RunningServer, png

PYTHON_TEXT = (
    "Traceback",
    "Error(",
    "object at 0x",
    "site-packages",
    "numpy",
    "codec can't",
    "NoneType",
    ".py",
)
"""What an answer has when a library's or Python's own words got into it."""


def connect(server: RunningServer, seconds: float = 20.0) -> socket.socket:
    host, port = server.state.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=seconds)


def warm_up(server: RunningServer) -> None:
    """Lets every worker import and make what a first request and a first line of the log make.

    Some of it is made in the background, later on a busy machine: it is over when no process grows.
    """
    for _ in range(20):
        client = ServerClient(server.state.url)
        client.predict(png(100))
        client.close()
    quiet, sizes = 0, memory_mb(server)
    for _ in range(120):
        time.sleep(0.5)
        now = memory_mb(server)
        quiet, sizes = (quiet + 1 if now - sizes < 0.2 else 0), now
        if quiet == 3:
            break


def answers(
    server: RunningServer, sent: bytes, seconds: float = 20.0, more: list[bytes] | None = None
) -> bytes:
    """All that the server says to these bytes until it closes, or says nothing more for a second."""
    with connect(server, seconds) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(sent)
            for part in more or []:
                connection.sendall(part)
        return heard(connection)


def heard(connection: socket.socket, patience: float = 1.0) -> bytes:
    """What still comes, until the end or a silence of `patience` seconds after something came."""
    got = b""
    with contextlib.suppress(ConnectionError, TimeoutError):
        while part := connection.recv(1 << 20):
            got += part
            connection.settimeout(patience)
    return got


def statuses(said: bytes) -> list[int]:
    """The status of every answer in what was heard."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", said)]


def processes(server: RunningServer) -> list[int]:
    """The supervisor and its workers."""
    found = [server.process.pid]
    for number in found:
        for task in Path(f"/proc/{number}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [int(child) for child in task.read_text().split()]
    return found


def memory_mb(server: RunningServer) -> float:
    """Resident memory of all of the server's processes together."""
    return sum(_status(number, "VmRSS") for number in processes(server)) / 1024


def peak_mb(server: RunningServer) -> float:
    """The most that the largest process ever had, since `reset_peak`."""
    return max(_status(number, "VmHWM") for number in processes(server)) / 1024


def reset_peak(server: RunningServer) -> float:
    """Forgets the peaks; returns what the largest process has now."""
    for number in processes(server):
        Path(f"/proc/{number}/clear_refs").write_text("5")
    return peak_mb(server)


@contextlib.contextmanager
def bounded_growth(server: RunningServer, most_mb: float) -> Iterator[None]:
    """What happens inside may not make any process larger by more, not even for a moment."""
    before = reset_peak(server)
    yield
    grown = peak_mb(server) - before
    assert grown < most_mb, f"a process grew from {before:.0f} MB by {grown:.0f} MB"


def _status(number: int, field: str) -> int:
    try:
        lines = Path(f"/proc/{number}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(field)), 0)
