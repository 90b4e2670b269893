"""How this machine's web servers (engine, console, label service) listen and answer."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from linnet.errors import RunError

if TYPE_CHECKING:
    import uvicorn

KEEP_ALIVE_SECONDS = 75.0
"""How long an idle connection stays open: longer than people let a client wait between two questions.

A client that asks every 5 s while the server closes after 5 s (uvicorn's default) meets
`Connection reset by peer` sooner or later.
"""
GRACEFUL_SECONDS = 3
"""What is being answered gets this long when the server ends."""


def web_server(app: Any) -> uvicorn.Server:
    """A server for an ASGI application; `run(sockets=[listen(...)])` answers until it is told to end."""
    import uvicorn

    return uvicorn.Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=GRACEFUL_SECONDS,
            timeout_keep_alive=round(KEEP_ALIVE_SECONDS),
        )
    )


def listen(name: str, bind: str, port: int, remedy: str = "choose another port") -> socket.socket:
    """A socket that listens on an address; port 0 takes a free one.

    Raises:
        RunError: the port is taken, or the address is not this machine's; it names the server `name`.
    """
    listening = socket.socket(socket.AF_INET6 if ":" in bind else socket.AF_INET)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((bind, port))
    except OSError as error:
        listening.close()
        raise RunError(f"the {name} cannot listen on {bind}:{port}: {error.strerror}; {remedy}") from error
    return listening


def url_of(listening: socket.socket, bind: str) -> str:
    """The address of what listens, for a client on this machine."""
    host = f"[{bind}]" if ":" in bind else bind
    return f"http://{host}:{listening.getsockname()[1]}"
