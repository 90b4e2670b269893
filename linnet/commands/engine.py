"""`linnet up` and `linnet down`: the engine, and the champion's server beside it."""

from __future__ import annotations

import socket
import time
from typing import Annotated

import typer
from rich.console import Console

from linnet.commands.serve import ConfigPath, Name, serve_champion, stop_server
from linnet.config import EngineConfig, load_config
from linnet.errors import RegistryError, ServingError
from linnet.registry.connect import find_champion
from linnet.server_process import ServerState
from linnet.state import server_state_file


def up(
    name: Name = "",
    config: ConfigPath = None,
    port: Annotated[
        int | None, typer.Option(help="Port of the champion's server; 0 takes a free one.")
    ] = None,
    engine_port: Annotated[int | None, typer.Option(help="Port of the engine; 0 takes a free one.")] = None,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Serve in the background.")] = False,
) -> None:
    """Start the engine (the Kubeflow Pipelines API of this machine), and serve the champion.

    The champion answers the Open Inference Protocol v2, and plain images at /predict. Without a champion
    only the engine starts.

    Examples:

      linnet up

      linnet up --detach --config configs/fashion.toml --port 9000
    """
    from linnet.engine.client import stop_engine

    running = ServerState.read(server_state_file())
    if running is not None:
        raise ServingError(f"a server runs already at {running.url}: stop it with `linnet down`")
    if name and config is None:
        find_champion(name)  # says so before anything is started
    console = Console()
    started = _engine(load_config(config).engine if config else EngineConfig(), engine_port, console)
    try:
        serve_champion(name, config, port, detach, console)
    except RegistryError as error:
        if name or "no champion" not in str(error):
            if started:
                stop_engine()
            raise
        console.print(f"nothing to serve: {error}", highlight=False)
        if not detach:
            _wait(console)
    except BaseException:
        if started:
            stop_engine()
        raise
    if started and not detach:
        stop_engine()


def down() -> None:
    """Stop what `linnet up` started: requests under way are answered, runs under way are interrupted.

    `linnet runs resume` lets an interrupted run go on.
    """
    from linnet.engine.client import stop_engine

    engine, server = stop_engine(), stop_server()
    typer.echo("stopped" if engine or server else "no server runs here")


def _engine(config: EngineConfig, port: int | None, console: Console) -> bool:
    """Sees to it that the engine runs; whether it was started here."""
    from linnet.engine.client import local_engine

    if port is not None:
        config = config.model_copy(update={"port": port})
    elif "port" not in config.model_fields_set and _taken(config):
        console.print(f"port {config.port} is taken: the engine takes a free one")
        config = config.model_copy(update={"port": 0})
    host = local_engine(config, fresh_port=False, until_idle=False)
    host.stay()
    console.print(f"the engine answers kfp.Client at {host.url}", highlight=False)
    return host.started_here


def _taken(config: EngineConfig) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in config.bind else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex((config.bind, config.port)) == 0


def _wait(console: Console) -> None:
    from linnet.engine.client import running_engine

    console.print("Ctrl-C stops the engine")
    try:
        while running_engine() is not None:
            time.sleep(0.5)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
