"""`linnet data ...`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linnet.commands.reason import Reason, given
from linnet.commands.terminal import progress_bars, terminal
from linnet.errors import LinnetError

ConfigPath = Annotated[Path, typer.Argument(help="A config file, such as configs/fashion.toml.")]

data_app = typer.Typer(help="Fetch the raw dataset; see what production added to it.", no_args_is_help=True)


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


@data_app.command("windows")
def data_windows(config: ConfigPath) -> None:
    """List the labelled production windows that later runs train on, and are tested on.

    Example:

      linnet data windows configs/fashion.toml
    """
    from rich.table import Table

    from linnet.artifacts.windows import all_windows
    from linnet.config import load_config

    loaded = load_config(config)
    table = Table("window", "images", "takes part", title=f"windows of {loaded.name}", title_justify="left")
    unread = []
    for window in all_windows(loaded.name):
        try:
            images = sum(1 for _ in (window.folder / "images").iterdir())
            gone = window.withdrawal
        except (LinnetError, OSError) as error:  # it hides none of the others; a run refuses it
            unread.append(f"{window.name}: {error}")
            table.add_row(window.name, "?", "it cannot be read")
            continue
        part = f"no: withdrawn by {gone.actor}: {gone.reason}" if gone else f"yes: {loaded.data.windows}"
        table.add_row(window.name, f"{images:,}", part)
    empty = f"no window of {loaded.name} is kept yet: retraining keeps those that it trains on"
    terminal().print(table if table.row_count else empty)
    for problem in unread:
        terminal(stderr=True).print(problem, style="red", soft_wrap=True)
    if unread:
        raise typer.Exit(1)


@data_app.command("withdraw")
def data_withdraw(
    config: ConfigPath,
    window: Annotated[str, typer.Argument(help="Its name, as `linnet data windows` lists it.")],
    reason: Reason = "",
) -> None:
    """Take a production window out of all later runs, such as one with wrong labels; nothing is deleted.

    Example:

      linnet data withdraw configs/fashion.toml WINDOW --reason "a bad label batch"
    """
    from linnet.artifacts.windows import withdraw_window
    from linnet.config import load_config
    from linnet.registry.champion import current_actor

    name = load_config(config).name
    withdraw_window(name, window, current_actor(), given(reason))
    terminal().print(f"{window} takes no part in later runs of {name}")
