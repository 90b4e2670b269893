"""`linnet console`: the web console alone."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console


def console(
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8080,
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
    """Serve the web console: runs, models, releases, data and monitoring in a browser.

    It prints two links, one a role: an operator may start runs and move the champion, a viewer looks.

    Examples:

      linnet console

      linnet console --port 9000 --bind 0.0.0.0 --name linnet.example.org
    """
    from fastapi import FastAPI

    from linnet.console.access import LOOPBACK
    from linnet.console.app import add_console, serve
    from linnet.console.context import Context
    from linnet.console.sources import Sources

    app = FastAPI(title="Linnet", docs_url=None, redoc_url=None, openapi_url=None)
    access = add_console(app, LOOPBACK | {bind} | set(name or ()), Context(Sources(host=host)))
    url = f"http://{bind}:{port}"
    out = Console()
    out.print(f"operator  {url}/login?token={access.operator}", soft_wrap=True, highlight=False)
    out.print(f"viewer    {url}/login?token={access.viewer}", soft_wrap=True, highlight=False)
    out.print("Ctrl-C stops it", style="dim")
    serve(app, bind, port)
