"""`linnet runs remark`: tags and a note of a run."""

from __future__ import annotations

from typing import Annotated

import typer

from linnet.commands.runs import OneRun
from linnet.run import runs
from linnet.run.remarks import read_remarks, write_remarks


def runs_remark(
    run_id: OneRun,
    tags: Annotated[
        str | None, typer.Option("--tags", help="Tags between commas, in place of those before.")
    ] = None,
    note: Annotated[str | None, typer.Option("--note", help="A note, in place of the one before.")] = None,
) -> None:
    """Give a run tags and a note, or print them: the console's table of runs shows and searches them.

    Examples:

      linnet runs remark 20261124-101500 --tags baseline,paper --note "before the new camera"

      linnet runs remark 20261124-101500
    """
    folder = runs.find(run_id)
    said = read_remarks(folder)
    if tags is not None or note is not None:
        kept = ",".join(said.tags) if tags is None else tags
        said = write_remarks(folder, kept, said.note if note is None else note)
    typer.echo(f"{folder.name}  tags: {', '.join(said.tags) or 'none'}; note: {said.note or 'none'}")
