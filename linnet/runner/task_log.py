"""Where the output of a run's tasks goes: each into a file of its own, and in short into the run's log."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from linnet.records.task import task_file

_SHOWN_BYTES = 1 << 17
"""How much of an attempt's output stands in the run's log too, from its beginning and from its end."""


def log_file(folder: Path, path: str) -> Path:
    """The file with the output of a task of a run, that of all its attempts.

    Args:
        folder: the run's.
        path: the task's in the run.
    """
    return folder / "logs" / f"{task_file(path)}.txt"


def add_note(folder: Path, path: str, note: str) -> None:
    """Puts a line of the engine's own into a task's file, between the outputs of its attempts."""
    with contextlib.suppress(OSError), log_file(folder, path).open("a") as own:
        own.write(f"note: {note}\n")


def add_to_run(folder: Path, path: str, start: int) -> None:
    """Puts an attempt's output into the run's log as well, where a person reads it in order.

    Of a long one its beginning and its end: the whole of it is kept once, in the task's own file.

    Args:
        folder: the run's.
        path: the task's in the run.
        start: where in the task's file the attempt's output begins.
    """
    log = log_file(folder, path)
    with contextlib.suppress(OSError), (folder / "log.txt").open("ab") as whole, log.open("rb") as own:
        whole.write(f"=== {path}\n".encode())
        length = own.seek(0, os.SEEK_END) - start
        own.seek(start)
        if length > 2 * _SHOWN_BYTES:
            left = length - 2 * _SHOWN_BYTES
            whole.write(own.read(_SHOWN_BYTES))
            whole.write(f"\n... {left:,} bytes more, all of them in {log} ...\n".encode())
            own.seek(-_SHOWN_BYTES, os.SEEK_END)
        shutil.copyfileobj(own, whole)
