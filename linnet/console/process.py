"""The console as a server of this machine: where it is, how it is served, and the links that open it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from linnet.process.sidecar import Sidecar

CONSOLE = Sidecar("console", "linnet.console")
PORT = 8080


def run_console(
    bind: str, port: int, names: Sequence[str] = (), host: str = "", ready: Callable[[str], None] = print
) -> None:
    """Serves the console until it is told to end.

    Args:
        bind: the address to listen on.
        port: 0 takes a free one.
        names: host names under which people reach it, besides the address and localhost.
        host: the KFP API that runs are sent to; empty: this machine's.
        ready: is given the console's address.

    Raises:
        RunError: the port is taken.
    """
    from fastapi import FastAPI

    from linnet.console.access import LOOPBACK
    from linnet.console.app import add_console
    from linnet.console.context import Context
    from linnet.console.sources import Sources

    app = FastAPI(title="Linnet", docs_url=None, redoc_url=None, openapi_url=None)
    add_console(app, LOOPBACK | {bind} | set(names), Context(Sources(host=host)))
    CONSOLE.serve(app, bind, port, ready)


def links(url: str) -> dict[str, str]:
    """The links that open the console at `url`, one a role."""
    from linnet.console.access import ConsoleAccess

    access = ConsoleAccess.of(CONSOLE.folder / "access.json")
    return {
        "operator": f"{url}/login?token={access.operator}",
        "viewer": f"{url}/login?token={access.viewer}",
    }
