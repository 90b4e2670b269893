"""The terminal that commands write to: what comes from data is shown as it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from linnet.progress import Progress


def terminal(stderr: bool = False, soft_wrap: bool = False) -> Console:
    """A console that takes no text for markup or emoji: `scan[red].png` and `ok[/b]` are names.

    It holds for tables and titles, too. Color is given as a style or as a `Text`, never in brackets.
    """
    return Console(stderr=stderr, soft_wrap=soft_wrap, markup=False, emoji=False, highlight=False)


def bars_on(console: Console) -> Bars:
    """Bars that are gone when the work ends. rich's own take their texts for markup, on any console."""
    text = TextColumn("{task.description}", style="progress.description", markup=False)
    columns = (text, BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    return Bars(*columns, console=console, transient=True)


@contextlib.contextmanager
def progress_bars(console: Console | None = None) -> Iterator[Progress]:
    """Shows long work, a bar for each thing that is done."""
    with bars_on(console or terminal(stderr=True)) as bars:
        tasks: dict[str, Any] = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield progress
