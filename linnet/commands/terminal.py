"""The terminal that commands write to: what comes from data is shown as it is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from linnet.progress import Progress


class Terminal(Console):
    """Breaks no line of text, so that a path or a command in it can be copied; tables fit the width."""

    def print(self, *objects: Any, **options: Any) -> None:
        """As rich's, whose own default breaks a long line, and with it a path."""
        if all(isinstance(one, str | Text) for one in objects):
            options.setdefault("soft_wrap", True)
        super().print(*objects, **options)


def fits(table: Table, console: Console) -> bool:
    """Whether a table is shown whole: else its cells are cut or broken, and a path among them is lost."""
    wide = console.options.update(max_width=1 << 20)
    return Measurement.get(console, wide, table).maximum <= console.width


def terminal(stderr: bool = False, soft_wrap: bool = False) -> Console:
    """A console that takes no text for markup or emoji: `scan[red].png` and `ok[/b]` are names.

    It holds for tables and titles, too. Color is given as a style or as a `Text`, never in brackets.
    """
    return Terminal(stderr=stderr, soft_wrap=soft_wrap, markup=False, emoji=False, highlight=False)


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
