"""`linnet console`: the web console alone."""

from __future__ import annotations

from typing import Annotated, Literal

import typer
from rich.console import Console

from linnet.commands.terminal import terminal
from linnet.errors import RunError


def console(
    what: Annotated[
        Literal["serve", "link"], typer.Argument(help="`link` prints the login links of the one that runs.")
    ] = "serve",
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes a free one.")] = 8080,
    bind: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    name: Annotated[
        list[str] | None, typer.Option("--name", help="A host name under which people reach it; repeatable.")
    ] = None,
    host: Annotated[
        str,
        typer.Option(
            help="Address of the Kubeflow Pipelines API that runs are sent to; empty: this machine."
        ),
    ] = "",
) -> None:
    """Serve the web console alone: runs, models, releases, data and monitoring in a browser.

    `linnet up` serves it beside the engine and the model's server. It prints two links, one a role: an
    operator may start runs and move the champion, a viewer looks.

    Examples:

      linnet console

      linnet console link

      linnet console --port 9000 --bind 0.0.0.0 --name linnet.example.org
    """
    from linnet.console.process import CONSOLE, run_console

    out = terminal()
    running = CONSOLE.running()
    if what == "link":
        if running is None:
            raise RunError("no console runs here: `linnet up` or `linnet console` starts it")
        show_links(running.url, out)
        return
    if running is not None:
        out.print(f"a console runs here already at {running.url}; `linnet down` stops it")
        show_links(running.url, out)
        return

    def ready(url: str) -> None:
        show_links(url, out)
        out.print("Ctrl-C stops it", style="dim")

    run_console(bind, port, name or (), host, ready)


def show_links(url: str, out: Console) -> None:
    """The links that open the console, each with its login token."""
    from linnet.console.process import links

    for role, link in links(url).items():
        out.print(f"{role:<8}  {link}", soft_wrap=True)
