"""Follows a run on the terminal: a line a stage, with a bar for the one that is under way."""

from __future__ import annotations

import json
import time
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from linnet import runs
from linnet.engine.submit import LocalRun
from linnet.records import RunRecord, StageRecord, now

_LOOK_SECONDS = 0.15
_FINE = ("pass", "promote")


def follow(run: LocalRun, console: Console) -> RunRecord:
    """Shows the run until it ends, and returns its record. Ctrl-C interrupts the run."""
    try:
        if console.is_terminal:
            _follow_live(run, console)
        else:
            _follow_lines(run, console)
    except KeyboardInterrupt:
        console.print("[yellow]stopping the run ...[/]")
        run.interrupt()
    else:
        _close(run)
    return runs.load(run.folder)


def _close(run: LocalRun) -> None:
    """Closes the record of a run whose worker ended before it could: killed, or without room to write."""
    if RunRecord.load(run.folder / "run.json").state == "running":
        run.clear()
        runs.finish(run.folder, worked=False, interrupted=run.process.returncode < 0)


def _follow_live(run: LocalRun, console: Console) -> None:
    spinner = Spinner("dots")
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        while run.process.poll() is None:
            live.update(_table(run.folder, spinner))
            time.sleep(_LOOK_SECONDS)


def _follow_lines(run: LocalRun, console: Console) -> None:
    told: set[str] = set()
    ended = False
    while not ended:
        ended = run.process.poll() is not None
        for stage in runs.stages(run.folder):
            if stage.state != "running" and stage.task not in told:
                told.add(stage.task)
                console.print(f"{stage.task:<15} {describe(stage).plain}", highlight=False)
        time.sleep(_LOOK_SECONDS)


def _table(folder: Path, spinner: Spinner) -> Table:
    table = Table.grid(padding=(0, 2))
    for stage in runs.stages(folder):
        if stage.state == "running":
            elapsed = (now() - stage.started_at).total_seconds()
            table.add_row(spinner, stage.task, f"{elapsed:.0f} s", _bar(folder))
        else:
            mark = Text("✓", "green") if stage.state == "succeeded" else Text("✗", "red")
            table.add_row(mark, stage.task, f"{stage.seconds:.1f} s", describe(stage, seconds=False))
    return table


def _bar(folder: Path) -> Table | str:
    try:
        told = json.loads((folder / "progress.json").read_text())
    except (OSError, ValueError):
        return ""
    bar = Table.grid(padding=(0, 1))
    bar.add_row(ProgressBar(total=max(told["total"], 1), completed=told["done"], width=24), told["what"])
    return bar


def describe(stage: StageRecord, seconds: bool = True) -> Text:
    """What a finished stage did, in a line."""
    if stage.state == "failed":
        return Text(stage.error.splitlines()[0] if stage.error else "failed", "red")
    facts = [
        f"{name} {_short(value)}" for name, value in stage.values.items() if name not in ("reason", "verdict")
    ]
    verdict = stage.values.get("verdict")
    text = Text(f"{stage.seconds:6.1f} s  " if seconds else "")
    if stage.cached:
        text.append(f"cached (saved {stage.saved_seconds:.0f} s)  ", "cyan")
    if verdict:
        text.append(f"{verdict}  ", "green" if verdict in _FINE else "red")
    return text.append(", ".join(facts), "dim")


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
