"""Progress for a person at a terminal, or one JSON object a line for a program."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from linnet.progress import Progress, silent

AfterEpoch = Callable[[dict[str, float]], None]
"""Given an epoch's row of the history, once it is over; may raise to end the training."""

__all__ = ["AfterEpoch", "Progress", "line", "parse_line", "parse_row", "row_line", "shown", "silent"]


def line(what: str, done: int, total: int) -> None:
    """Prints {"progress": what, "done": steps, "total": steps} on a line of its own."""
    print(json.dumps({"progress": what, "done": done, "total": total}), flush=True)


def parse_line(text: str) -> tuple[str, int, int] | None:
    """What `line` printed, or None if the text is something else."""
    if not text.startswith('{"progress"'):
        return None
    found = json.loads(text)
    return found["progress"], found["done"], found["total"]


def row_line(row: dict[str, float]) -> None:
    """Prints {"measured": row} on a line of its own."""
    print(json.dumps({"measured": row}), flush=True)


def parse_row(text: str) -> dict[str, float] | None:
    """What `row_line` printed, or None if the text is something else."""
    if not text.startswith('{"measured"'):
        return None
    row: dict[str, float] = json.loads(text)["measured"]
    return row


@contextmanager
def shown() -> Iterator[Progress]:
    """A bar where standard output is a terminal (and rich is installed), and JSON lines otherwise."""
    if not sys.stdout.isatty():
        yield line
        return
    try:
        from rich import progress as rich
    except ImportError:
        yield line
        return
    text = rich.TextColumn("{task.description}", markup=False)
    columns = (rich.BarColumn(), rich.TimeRemainingColumn(), text)
    with rich.Progress(*columns) as bar:
        task = bar.add_task("starting", total=None)

        def show(what: str, done: int, total: int) -> None:
            if total:
                bar.update(task, description=what, completed=done, total=total)
            else:
                bar.console.print(what, highlight=False, markup=False)

        yield show
