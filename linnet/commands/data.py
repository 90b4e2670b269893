"""`linnet data ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linnet.commands.terminal import progress_bars, terminal

data_app = typer.Typer(help="Fetch and check the raw dataset.", no_args_is_help=True)


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
    from linnet.data.fetch import fetch

    with progress_bars() as progress:
        folder = fetch(dvc_file, revision, progress)
    terminal().print(f"{folder}: complete, every digest as {dvc_file} names it")
