"""`linnet data ...` and `linnet cache ...`."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from linnet.state import state_dir

data_app = typer.Typer(help="Fetch and check the raw dataset.", no_args_is_help=True)
cache_app = typer.Typer(help="Look at the content cache, and shrink it.", no_args_is_help=True)


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


@cache_app.command("ls")
def cache_ls() -> None:
    """List the cache's entries."""
    table = Table("entry", "step", "MB", "took seconds", "age")
    for file in sorted(_entries(), key=lambda file: file.stat().st_mtime, reverse=True):
        stored = json.loads(file.read_text())
        size = sum(part.stat().st_size for part in file.parent.rglob("*") if part.is_file()) / 1e6
        age = (time.time() - file.stat().st_mtime) / 3600
        key = file.parent.name[:12]
        table.add_row(key, stored["key"]["task"], f"{size:.1f}", f"{stored['seconds']:.1f}", f"{age:.1f} h")
    Console().print(table)


@cache_app.command("gc")
def cache_gc(
    days: Annotated[float, typer.Option(help="Remove entries older than this.")] = 30.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> None:
    """Remove old entries; runs keep the files that they link to.

    Example:

      linnet cache gc --days 7 --dry-run
    """
    old = [file.parent for file in _entries() if time.time() - file.stat().st_mtime > days * 86400]
    for entry in old if not dry_run else []:
        shutil.rmtree(entry)
    if not dry_run:
        shutil.rmtree(state_dir() / "cache" / "staging", ignore_errors=True)
    typer.echo(f"{'would remove' if dry_run else 'removed'} {len(old)} entries")


def _entries() -> list[Path]:
    return list((state_dir() / "cache" / "entries").glob("*/entry.json"))
