"""What a terminal shows of a step under way: how far it is, its last epochs, what it takes of the machine."""

from __future__ import annotations

from pathlib import Path

from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from linnet.pages.numbers import duration
from linnet.run import live
from linnet.run.usage import Usage, read_usage

_EPOCHS = 3
"""Of a training under way, how many of the last are shown."""


def left(told: live.StepProgress) -> str:
    """How long it still takes, as the end of a line."""
    return "" if told.seconds_left is None else f", {duration(told.seconds_left)} left"


def bar(folder: Path) -> Table | str:
    """How far the run's step is, as a bar with words."""
    told = live.read_progress(folder)
    if told is None:
        return ""
    bar = Table.grid(padding=(0, 1))
    done = ProgressBar(total=max(told.total, 1), completed=told.done, width=24)
    bar.add_row(done, Text(f"{told.what}{left(told)}"))
    return bar


def measured(folder: Path, task: str) -> list[str]:
    """The last epochs of a training, and what the step takes of the machine."""
    used = read_usage(folder, task)[-1:]
    return [*map(live.words, live.read_rows(folder, task)[-_EPOCHS:]), *map(taken, used)]


def taken(usage: Usage) -> str:
    """What a step takes of the machine, in a line."""
    words = f"{usage.cpus:.1f} processors, {usage.memory_mb / 1000:.2f} GB of memory"
    if usage.gpu is None:
        return words
    return f"{words}, GPU {100 * usage.gpu:.0f} %, {(usage.gpu_memory_mb or 0) / 1000:.1f} GB on it"
