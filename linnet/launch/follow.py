"""Follows a run on the terminal: one line per stage, with a bar for the one that is under way."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from linnet.errors import RunError, StorageError
from linnet.launch.client import local_engine, running_engine, translate_api_errors
from linnet.launch.step_words import bar, left, measured
from linnet.launch.submit import STOP_SECONDS, Submitted
from linnet.records import RunRecord, StageRecord, now
from linnet.run import ending, live, runs

_LOOK_SECONDS = 0.15
_LOOK_REMOTE_SECONDS = 2.0
_GONE_SECONDS = 3.0
"""How long an engine may take to close a run whose worker is gone; it takes milliseconds."""
LINE_SECONDS = 20.0
"""Without a terminal, how often a long step says how far it is."""
_ENDED = ("SUCCEEDED", "FAILED", "SKIPPED", "CANCELED", "CACHED")
TERMINATED = 143
"""128 + SIGTERM, as a shell says it."""
_FINE = ("pass", "promote")


def follow(run: Submitted, console: Console) -> RunRecord:
    """Shows a run of this machine's engine until it ends, and returns its record. Ctrl-C terminates it.

    An engine that dies meanwhile is started again: the run goes on, or its end is noted.
    """
    gone = _Gone()
    try:
        with says_what_becomes_of(run.run_id):
            _show(run.folder, lambda: _ended(run, gone), console)
    except KeyboardInterrupt:
        console.print("stopping the run ...", style="yellow")
        _stop(run)
    return runs.load(run.folder)


def watch(folder: Path, console: Console) -> RunRecord:
    """Shows a run of this machine, whoever started it, until it ends; Ctrl-C stops the showing only."""

    def ended() -> bool:
        if runs.alive(folder):
            return False
        return RunRecord.load(folder / "run.json").state != "running" or running_engine() is None

    try:
        _show(folder, ended, console)
    except KeyboardInterrupt:
        console.print(f"the run goes on: `linnet runs follow {folder.name}` shows it again", highlight=False)
        raise
    return runs.load(folder)


class Termination:
    """SIGTERM while a run is submitted and followed: the command ends, and says that the run does not.

    At once where the run is known; while the host takes it, as soon as its id is. A second one does not wait.
    """

    def __init__(self, host: str) -> None:
        """`host`: the address that a person would give to find the run again; empty: this machine."""
        self._where = f" --host {host}" if host else ""
        self._run_id, self._asked = "", False

    def sent(self, run_id: str) -> None:
        """Tells the run's id; does not come back if the command was to end meanwhile."""
        self._run_id = run_id
        if self._asked:
            self._end()

    def on_signal(self, *_: object) -> None:
        """Handles SIGTERM."""
        if self._run_id or self._asked:
            self._end()
        self._asked = True

    def _end(self) -> NoReturn:
        shown = "\x1b[?25h" if sys.stderr.isatty() else ""  # a live display hides the cursor
        run = f"{self._run_id}{self._where}"
        if self._run_id:
            said = (
                f"the run goes on: `linnet runs follow {run}` shows it, `linnet runs terminate {run}` ends it"
            )
        else:
            said = f"whether the run was taken is not known: `linnet runs list{self._where}` shows it if so"
        os.write(2, f"{shown}terminated; {said}\n".encode())
        os._exit(TERMINATED)


@contextlib.contextmanager
def says_what_becomes_of(run_id: str = "", host: str = "") -> Iterator[Termination]:
    """While a run is submitted (its id is told by `sent` then) or followed: see `Termination`."""
    termination = Termination(host)
    termination.sent(run_id)
    if threading.current_thread() is not threading.main_thread():
        yield termination
        return
    before = signal.signal(signal.SIGTERM, termination.on_signal)
    try:
        yield termination
    finally:
        signal.signal(signal.SIGTERM, before)


def follow_remote(run: Submitted, console: Console) -> str:
    """Tells one line per task of a run on a cluster until it ends; its last state. Ctrl-C terminates it."""
    try:
        with says_what_becomes_of(run.run_id, run.host.url):
            return watch_remote(run, console)
    except KeyboardInterrupt:
        console.print("stopping the run ...", style="yellow")
        run.terminate()
        return "CANCELED"


def watch_remote(run: Submitted, console: Console) -> str:
    """As `follow_remote`, but Ctrl-C leaves the run alone."""
    told: set[str] = set()
    while True:
        with translate_api_errors(run.host.url):
            seen = run.client.get_run(run.run_id)
        for task in (seen.run_details.task_details or []) if seen.run_details else []:
            if task.state in _ENDED and task.task_id not in told:
                told.add(task.task_id)
                console.print(f"{task.display_name:<25} {task.state.lower()}", highlight=False)
        if seen.state in _ENDED:
            return str(seen.state)
        time.sleep(_LOOK_REMOTE_SECONDS)


def _stop(run: Submitted) -> None:
    """Terminates a run and waits for its end; a second Ctrl-C does not wait."""
    with contextlib.suppress(KeyboardInterrupt):
        with contextlib.suppress(RunError):  # it has just ended
            run.terminate()
        until = time.monotonic() + STOP_SECONDS
        gone = _Gone()
        while not _ended(run, gone) and time.monotonic() < until:
            time.sleep(0.05)


def _ended(run: Submitted, gone: _Gone) -> bool:
    """Whether the run has ended; sees to it that there is an engine that ends it."""
    if running_engine() is None:
        local_engine(run.host.config)
    alive = runs.alive(run.folder)
    if RunRecord.load(run.folder / "run.json").state != "running":
        return not alive
    gone.look(run, alive)
    return False


class _Gone:
    """A run without a process, whose end (or beginning) the engine cannot write either."""

    def __init__(self) -> None:
        self._since: float | None = None

    def look(self, run: Submitted, alive: bool) -> None:
        """Raises StorageError if nothing works on the run and the disk is full, for some seconds."""
        if alive or not ending.disk_full(run.folder) or (not _begun(run.folder) and runs.alive_folders()):
            self._since = None
        elif self._since is None:
            self._since = time.monotonic()
        elif time.monotonic() - self._since > _GONE_SECONDS:
            raise StorageError(f"{run.folder}: {ending.FULL}")


def _show(folder: Path, ended: Callable[[], bool], console: Console) -> None:
    if console.is_terminal:
        _show_live(folder, ended, console)
    else:
        _show_lines(folder, ended, console)


def _show_live(folder: Path, ended: Callable[[], bool], console: Console) -> None:
    spinner = Spinner("dots")
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        while not ended():
            live.update(_table(folder, spinner) if _begun(folder) else _waiting(spinner))
            time.sleep(_LOOK_SECONDS)


def _show_lines(folder: Path, ended: Callable[[], bool], console: Console) -> None:
    told: set[str] = set()
    over, spoke = False, time.monotonic()
    while not over:
        over = ended()
        if time.monotonic() - spoke >= LINE_SECONDS and (line := under_way(folder)):
            spoke = time.monotonic()
            console.print(line, highlight=False, soft_wrap=True)
        for stage in runs.stages(folder):
            if stage.state != "running" and stage.task not in told:
                told.add(stage.task)
                spoke = time.monotonic()
                console.print(f"{stage.task:<15} {describe(stage).plain}", highlight=False)
        time.sleep(0 if over else _LOOK_SECONDS)


def under_way(folder: Path) -> str:
    """The stage that is running, since when, how far it is and what it measured last; empty where none is."""
    running = [stage for stage in runs.stages(folder) if stage.state == "running"]
    if not running:
        return "" if _begun(folder) else "waits for other runs to end (engine.concurrent_runs)"
    task = running[-1].task
    elapsed = (now() - running[-1].started_at).total_seconds()
    told, rows = live.read_progress(folder), live.read_rows(folder, task)
    progress = f"  {told.what}: {told.done:,} of {told.total:,}{left(told)}" if told else ""
    last = f"; {live.words(rows[-1])}" if rows else ""
    return f"{task:<15} {elapsed:6.0f} s so far{progress}{last}"


def _begun(folder: Path) -> bool:
    return (folder / "worker.json").exists()


def _waiting(spinner: Spinner) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_row(spinner, "waits for other runs to end (engine.concurrent_runs)")
    return table


def _table(folder: Path, spinner: Spinner) -> Table:
    table = Table.grid(padding=(0, 2))
    for stage in runs.stages(folder):
        if stage.state == "running":
            elapsed = (now() - stage.started_at).total_seconds()
            table.add_row(spinner, stage.task, f"{elapsed:.0f} s", bar(folder))
            for line in measured(folder, stage.task):
                table.add_row("", "", "", Text(line, "dim"))
        else:
            mark = Text("✓", "green") if stage.state == "succeeded" else Text("✗", "red")
            table.add_row(mark, stage.task, f"{stage.seconds:.1f} s", describe(stage, seconds=False))
    return table


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
