"""The server process: wires the objects in one place, serves, and ends without losing a request."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from linnet.config import ServingConfig
from linnet.errors import ServingError
from linnet.server_process import ServerState
from linnet.serving.admin import Admin
from linnet.serving.app import App
from linnet.serving.fleet import start_fleet
from linnet.serving.log import PredictionLog
from linnet.serving.metrics import Metrics
from linnet.serving.ring import ServedRing
from linnet.serving.service import Service

logger = logging.getLogger(__name__)
_START_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Launch:
    """What one server process is started with."""

    package: Path
    version: str
    name: str | None
    """Model name in the addresses; None: the package's."""
    config: ServingConfig
    state_file: Path | None
    log_dir: Path | None
    parent: int | None = None
    """Process that started the server and without which it ends; None: it runs on its own."""


def serve(launch: Launch) -> None:
    """Serves until SIGTERM or SIGINT; then drains, flushes the log and returns.

    Raises:
        ServingError: the package cannot be served, or the port is taken.
    """
    config = launch.config
    holder = hold_port(config.host, config.port)  # before the model, so that a taken port is told at once
    with holder:
        fleet = start_fleet(launch.version, launch.package, config.threads)
        name = launch.name or fleet.snapshot.predictors[launch.version].package.name
        token = secrets.token_urlsafe(24)
        metrics, ring = Metrics(name), ServedRing()
        log = PredictionLog(launch.log_dir, config.log_queue, config.log_images)
        service = Service(fleet, metrics, log, ring)
        admin = Admin(fleet, ring, metrics, token)
        app = App(name, service, metrics, admin, round(config.max_body_mb * 1_000_000), config.max_pixels)
        try:
            log.start()
            asyncio.run(_serve(app, holder, token, launch))
        except OSError as error:  # the log folder or the state file
            raise ServingError(f"cannot write {error.filename}: {error.strerror}") from error
        finally:
            service.close()
            admin.close()
            log.close()


def hold_port(host: str, port: int) -> socket.socket:
    """Binds, without listening, the port that the server will listen on; 0 takes a free one.

    Granian listens with SO_REUSEPORT, with which two servers would quietly share a port. So a taken
    port is found here, by a bind without it.

    Raises:
        ServingError: the port is taken, or the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        if port != 0:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
        holder = socket.socket(family, socket.SOCK_STREAM)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holder.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ServingError(
                f"port {port} of {host} is taken: stop what has it (`linnet down` if it is Linnet), "
                "or choose another port with --port (0 takes a free one)"
            ) from error
        raise ServingError(f"cannot bind port {port} of {host}: {error.strerror or error}") from error
    return holder


async def _serve(app: App, holder: socket.socket, token: str, launch: Launch) -> None:
    from granian.http import HTTP1Settings
    from granian.server.embed import Server

    host, port = holder.getsockname()[:2]
    server = Server(
        app,
        address=host,
        port=port,
        websockets=False,
        log_enabled=False,
        backlog=1024,
        backpressure=1024,
        http1_settings=HTTP1Settings(header_read_timeout=10_000),
    )
    loop = asyncio.get_running_loop()

    def stop() -> None:
        app.ready = False
        server.stop()  # type: ignore[no-untyped-call]

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    serving = asyncio.ensure_future(server.serve())
    if launch.parent is not None:
        watching = asyncio.ensure_future(_end_with(launch.parent, stop))
        serving.add_done_callback(lambda _: watching.cancel())
    await _wait_until_listening(serving, host, port)
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    if launch.state_file is not None:
        ServerState(url, os.getpid(), token).write(launch.state_file)
    logger.info("serving %s version %s at %s", app.name, launch.version, url)
    try:
        await serving
    finally:
        if launch.state_file is not None:
            launch.state_file.unlink(missing_ok=True)
    logger.info("stopped")


async def _end_with(parent: int, stop: Callable[[], None]) -> None:
    """Stops when the parent is gone: a release that is killed must not leave its server behind."""
    while os.getppid() == parent:
        await asyncio.sleep(0.5)
    logger.info("the process that started the server is gone")
    stop()


async def _wait_until_listening(serving: asyncio.Future[Any], host: str, port: int) -> None:
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  compared, not bound
    try:
        async with asyncio.timeout(_START_SECONDS):
            while not serving.done():
                try:
                    _, writer = await asyncio.open_connection(target, port)
                except OSError:
                    await asyncio.sleep(0.005)
                    continue
                writer.close()
                return
    except TimeoutError as error:
        raise ServingError(f"the server did not listen at {host}:{port} in time") from error
    raise ServingError(f"the server ended before it listened at {host}:{port}")
