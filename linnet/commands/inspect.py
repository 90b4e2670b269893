"""`linnet runs ...` and `linnet data ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from linnet import runs

runs_app = typer.Typer(help="Look at runs.", no_args_is_help=True)
data_app = typer.Typer(help="Fetch and check the raw dataset.", no_args_is_help=True)

RunId = Annotated[str, typer.Argument(help="A run's id or its beginning; empty: the newest run.")]


@runs_app.command("list")
def runs_list(limit: Annotated[int, typer.Option(help="How many to show.")] = 20) -> None:
    """List runs, the newest first."""
    table = Table("run", "state", "cause", "started (UTC)", "seconds")
    for folder in runs.folders()[:limit]:
        record = runs.load(folder)
        ended = record.ended_at
        seconds = f"{(ended - record.started_at).total_seconds():.0f}" if ended else ""
        began = f"{record.started_at:%Y-%m-%d %H:%M:%S}"
        table.add_row(record.run_id, record.state, record.request.cause, began, seconds)
    Console().print(table)


@runs_app.command("show")
def runs_show(run_id: RunId = "") -> None:
    """Show a run again: who asked for it, what it was made of and cost, its stages, gates and canary."""
    from linnet.commands.summary import show_origin, show_summary

    folder, console = runs.find(run_id), Console()
    show_origin(folder, console)
    show_summary(folder, console)


@runs_app.command("mirror")
def runs_mirror() -> None:
    """Write the records of ended runs to MLflow, where that did not happen yet.

    Example:

      linnet runs mirror
    """
    from linnet.registry.run_mirror import mirror_pending

    done = mirror_pending()
    typer.echo(f"mirrored {len(done)} run(s) to MLflow{': ' if done else ''}{', '.join(done)}")


@runs_app.command("log")
def runs_log(run_id: RunId = "") -> None:
    """Print a run's log."""
    typer.echo((runs.find(run_id) / "log.txt").read_text("utf-8", "replace"))


@data_app.command("fetch")
def data_fetch(
    dvc_file: Annotated[Path, typer.Argument(help="The .dvc file that names the dataset.")] = Path(
        "data.dvc"
    ),
    revision: Annotated[str, typer.Option(help="Git revision of the .dvc file.")] = "",
) -> None:
    """Bring the dataset that a .dvc file names, from the first source that has it, and check it.

    Example:

      linnet data fetch --revision HEAD~1
    """
    from rich.progress import Progress

    from linnet.data.fetch import fetch

    console = Console()
    with Progress(console=console, transient=True) as bars:
        tasks = {}

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        folder = fetch(dvc_file, revision, progress)
    console.print(f"{folder}: complete, every digest as {dvc_file} names it")
