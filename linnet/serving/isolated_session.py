"""A model's ONNX session in a process of its own: a crash of its native code ends that process alone.

Where a server has several models, no session runs in the process that reads the sockets: a segmentation
fault, an abort or the kernel's killer takes one model down for as long as its process takes to start again
(some hundredths of a second, since it is forked off a process that has the libraries loaded already), and
nothing of the others. The request that was running is tried once more; one that ends the process twice fails.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import signal
import threading
import weakref
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

from linnet.artifacts.onnx_model import open_session
from linnet.errors import ServingError

logger = logging.getLogger(__name__)
START_SECONDS = 40.0
"""Longest time for a session to open in its process: less than a load may take altogether."""


@dataclass(frozen=True, slots=True)
class Node:
    """An input or output, as ONNX Runtime describes it."""

    name: str
    type: str
    shape: list[int | str | None]


@dataclass(frozen=True, slots=True)
class _Child:
    """The process of a session, and the way to it."""

    process: ForkServerProcess
    connection: Connection
    inputs: list[Node]
    outputs: list[Node]

    def end(self) -> int | None:
        """Ends the process; returns its exit status, or minus the signal that had ended it before."""
        self.connection.close()
        self.process.join(0.1)  # of a crash there is a status; else it is asked by the closed connection
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        return self.process.exitcode


class IsolatedSession:
    """What `PackagedModel` needs of a session, from another process. Safe to call from many threads."""

    def __init__(self, path: Path, threads: int, title: str = "") -> None:
        """Opens the model file with so many ONNX Runtime threads; `title`: what `ps` and logs call it.

        Raises:
            ServingError: it cannot be opened.
        """
        self._path, self._threads, self._title = path, threads, title
        self._lock = threading.Lock()
        self._children: list[_Child] = [_start(path, threads, title)]  # one, or none after a crash
        weakref.finalize(self, _end_all, self._children)
        self._inputs, self._outputs = self._children[0].inputs, self._children[0].outputs

    def get_inputs(self) -> list[Node]:
        """See onnxruntime.InferenceSession."""
        return self._inputs

    def get_outputs(self) -> list[Node]:
        """See onnxruntime.InferenceSession."""
        return self._outputs

    @property
    def pid(self) -> int | None:
        """Id of its process; None while there is none."""
        return self._children[0].process.pid if self._children else None

    def memory_mb(self) -> float:
        """Memory that its process shares with no other; 0 where the system does not say."""
        try:
            text = Path(f"/proc/{self.pid}/smaps_rollup").read_text("ascii")
        except OSError:
            return 0.0
        own = (
            line.split() for line in text.splitlines() if line.startswith(("Private_Clean", "Private_Dirty"))
        )
        return sum(int(words[1]) for words in own) * 1024 / 1e6

    def run(self, names: list[str], feeds: dict[str, Any]) -> list[Any]:
        """The outputs of these names.

        Raises:
            ServingError: the process ended twice on this request, or cannot be started again.
            RuntimeError: the session refused, as ONNX Runtime says.
        """
        with self._lock:
            for last in (False, True):
                try:
                    return self._ask(names, feeds)
                except (EOFError, OSError) as error:
                    status = self._children.pop().end()
                    logger.error("model %s: its process ended with status %s", self._title, status)
                    if last:
                        raise ServingError(f"its process ended twice (status {status})") from error
        raise AssertionError("unreachable")

    def _ask(self, names: list[str], feeds: dict[str, Any]) -> list[Any]:
        if not self._children:
            self._children.append(_start(self._path, self._threads, self._title))
        connection = self._children[0].connection
        connection.send((names, feeds))
        outputs = connection.recv()
        if isinstance(outputs, str):
            raise RuntimeError(outputs)
        found: list[Any] = outputs
        return found


def _end_all(children: list[_Child]) -> None:
    while children:
        children.pop().end()


@cache
def _forkserver() -> ForkServerContext:
    """Processes are forked off one that has imported all that they need, and has no session or thread."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["onnxruntime", "linnet.serving.worker"])
    return context


def _start(path: Path, threads: int, title: str) -> _Child:
    ours, theirs = multiprocessing.Pipe()
    process = _forkserver().Process(target=_serve, args=(theirs, path, threads, title), daemon=True)
    with theirs:
        process.start()
    try:
        if not ours.poll(START_SECONDS):
            raise ServingError(f"{path}: it did not open within {START_SECONDS:g} s")
        opened = ours.recv()
    except (EOFError, OSError, ServingError) as error:
        status = _Child(process, ours, [], []).end()
        if isinstance(error, ServingError):
            raise
        raise ServingError(f"{path}: its process ended while it was opened (status {status})") from error
    if isinstance(opened, str):
        _Child(process, ours, [], []).end()
        raise ServingError(opened)
    return _Child(process, ours, *opened)


def _serve(connection: Connection, path: Path, threads: int, title: str) -> None:
    """The process: answers until nobody is at the other end. Errors are answered as text."""
    with contextlib.suppress(OSError):  # not every system has it
        Path("/proc/self/comm").write_text(title or "linnet model", "utf-8")
    # Meant for the whole group; the server decides.
    for interruption in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(interruption, signal.SIG_IGN)
    try:
        session = open_session(path, threads)
    except ServingError as error:
        connection.send(str(error))
        return
    nodes = (session.get_inputs(), session.get_outputs())
    connection.send(tuple([Node(node.name, node.type, list(node.shape)) for node in side] for side in nodes))
    while True:
        try:
            names, feeds = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer: Any = session.run(names, feeds)
        except Exception as error:  # noqa: BLE001  onnxruntime's errors share no public base
            answer = str(error) or type(error).__name__
        connection.send(answer)
