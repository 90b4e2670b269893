"""A server in a process of its own: started, awaited until it says where it listens, and ended.

Engine, console, label service and the model's server are all started so; each brings its own state file
and its own words for what went wrong.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from linnet.errors import LinnetError
from linnet.process import interruption
from linnet.storage.private import UMASK

START_SECONDS = 180.0
"""Longest time that a server may take to listen: one to three seconds are usual, and a minute was not enough
on a machine with ten times the work that it can do. One that ends is noticed at once."""
STOP_SECONDS = 15.0
"""Longest time between the request to end and the end."""

Process = subprocess.Popen[bytes]
State = TypeVar("State")


def start(
    command: list[str],
    output: Path,
    *,
    read_state: Callable[[Process], State | None],
    error_for: Callable[[str], LinnetError | None],
    own_session: bool = True,
) -> tuple[Process, State]:
    """Starts a server and waits until it listens.

    Args:
        command: its words.
        output: the file that takes what it prints.
        read_state: its state, once it has written one.
        error_for: the error to raise, given the last line that it printed (empty: nothing; without
            "error: ") or that it is late. None lets the wait go on: another process took its place.
        own_session: Ctrl-C here does not reach it.

    Raises:
        LinnetError: what `error_for` made of its end or of its silence. Nothing of it is left behind.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    with interruption.deferred_interrupts() as pressed, output.open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=own_session,
            umask=UMASK,
        )
    try:
        if pressed.is_set():
            raise KeyboardInterrupt
        return process, _listening(process, output, read_state, error_for)
    except BaseException:
        end(process)
        raise


def end(process: Process) -> None:
    """Asks a process to end, makes it if it does not, and waits for it."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
        process.wait(STOP_SECONDS)
    process.kill()
    process.wait()


def _listening(
    process: Process,
    output: Path,
    read_state: Callable[[Process], State | None],
    error_for: Callable[[str], LinnetError | None],
) -> State:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        gone = process.poll() is not None
        state = read_state(process)
        if state is not None:
            return state
        if gone and (error := error_for(_last_line(output))) is not None:
            raise error
        time.sleep(0.02)
    late = f"it did not listen within {START_SECONDS:.0f} seconds: see {output}"
    raise error_for(late) or LinnetError(late)


def _last_line(output: Path) -> str:
    said = output.read_text("utf-8", "replace").strip().splitlines()
    return said[-1].removeprefix("error: ") if said else ""
