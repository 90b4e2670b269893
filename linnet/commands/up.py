"""`linnet up` and `linnet down`: the engine; console, label service and the champion's server beside it."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from linnet.commands.console import show_links
from linnet.commands.serve import ConfigPaths, Names, serve_champions, serve_too, stop_server
from linnet.commands.terminal import terminal
from linnet.config import EngineConfig, load_engine_config
from linnet.errors import ConfigError, LinnetError, NoChampion, ServingError
from linnet.process.interruption import terminable
from linnet.process.model_server import ServerState
from linnet.registry.connect import find_champions
from linnet.storage.paths import server_state_file


def up(
    name: Names = None,
    config: ConfigPaths = None,
    port: Annotated[
        int | None, typer.Option(help="Port of the champion's server; 0 takes a free one.")
    ] = None,
    engine_port: Annotated[int | None, typer.Option(help="Port of the engine; 0 takes a free one.")] = None,
    console_port: Annotated[
        int | None, typer.Option(help="Port of the console (8080); 0 takes a free one.")
    ] = None,
    with_console: Annotated[
        bool, typer.Option("--console/--no-console", help="Serve the web console, too.")
    ] = True,
    with_labels: Annotated[
        bool, typer.Option("--labels/--no-labels", help="Collect answers of the config's label server, too.")
    ] = True,
    with_watch: Annotated[
        bool, typer.Option("--watch/--no-watch", help="Have every window of what is served judged, too.")
    ] = True,
    with_keeper: Annotated[
        bool, typer.Option("--keep/--no-keep", help="Start again what ends though nobody stopped it.")
    ] = True,
    install: Annotated[
        bool, typer.Option("--install", help="Write a systemd user unit that runs this command, and end.")
    ] = False,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Serve in the background.")] = False,
) -> None:
    """Start the engine (the Kubeflow Pipelines API of this machine) and the console; serve the champions.

    What runs already is left as it is, and what is missing is started. An engine, a console or a server that
    is killed is started again, at once and then with growing pauses; that is an alert, and stands in
    `linnet status`. Every window of a model that is served is judged by itself (`linnet drift watch` says
    when; `--stop` there ends it). Ctrl-C, SIGTERM and a terminal that is closed end all that this call
    started, and so does `linnet down`. With --install, systemd starts all of it at boot.

    The console is opened with the links that are printed: they hold the login token of an operator and of
    a viewer. Every model that has a champion, or those that are named, answers by its name: the Open
    Inference Protocol v2 at /v2/models/NAME, and plain images at /predict/NAME (/predict where there is
    one); without any only engine and console start. Where a server runs already, --name has it serve one
    more. Each model has the limits of its own config: one that --config names, or else of the run that made
    its champion. With --config, what people answer is collected from its label server as it comes, and a
    complete round starts a training run. A config that holds [engine] and nothing else sets this machine's
    engine up, whatever is run on it.

    Examples:

      linnet up

      linnet up --detach --config configs/fashion.toml --port 9000

      linnet up --name fashion --name digits

      linnet up --config configs/fashion.toml --config configs/digits.toml

      linnet up --no-console
    """
    if install:
        from linnet.commands.systemd import install_unit

        install_unit(
            [word for word in sys.argv[1:] if word not in ("--install", "--detach", "-d")], terminal()
        )
        return
    asked = Asked(name or [], config or [], port, engine_port, console_port, detach)
    with terminable(), ExitStack() as started:
        _start(asked, Parts(with_console, with_labels, with_watch, with_keeper), started, terminal())
        if detach:
            started.pop_all()


@dataclass(frozen=True)
class Parts:
    """What goes on beside the engine."""

    console: bool
    labels: bool
    watch: bool
    keeper: bool


@dataclass(frozen=True)
class Asked:
    """The other settings of one `linnet up`."""

    names: list[str]
    configs: list[Path]
    port: int | None
    engine_port: int | None
    console_port: int | None
    detach: bool


def _start(asked: Asked, parts: Parts, started: ExitStack, out: Console) -> None:
    """Starts what is missing, and serves; `started` stops what this call began."""
    from linnet.automation.label_service import stop_services
    from linnet.console.process import CONSOLE
    from linnet.launch.client import stop_engine

    settings, configs = _engine_settings(asked.configs)
    running = ServerState.read(server_state_file())
    if running is not None and asked.port is not None:
        raise ServingError(
            f"a server runs already at {running.url}: `linnet down` first, to have it on another port"
        )
    if asked.names and not configs:
        find_champions(asked.names)  # says so before anything is started
    began = False
    if _engine(settings, asked.engine_port, out):
        started.callback(stop_engine)
        began = True
    if parts.console and _console(asked.console_port, out):
        started.callback(CONSOLE.stop)
        began = True
    if parts.labels and [path for path in configs if _labels(path, out)]:
        started.callback(stop_services)
        began = True
    if parts.keeper or parts.watch or (parts.labels and configs):
        try:
            _keep(settings, configs, started, parts, server=asked.detach)
        except LinnetError as error:  # nobody goes without answers for want of it
            out.print(str(error), style="red", soft_wrap=True)
    try:
        if running is None:
            serve_champions(asked.names, configs, asked.port, asked.detach, out, parts.keeper)
        else:
            _serve_more(running, asked.names, configs, out)
            if began and not asked.detach:  # else all ran already: there is nothing of this call to stop
                _wait(out)
    except NoChampion as error:
        if asked.names:
            raise
        out.print(f"nothing to serve: {error}")
        if not asked.detach:
            _wait(out)


def _keep(
    engine: EngineConfig, configs: list[Path], started: ExitStack, parts: Parts, *, server: bool
) -> None:
    """Starts the process that starts others again; it ends before them."""
    from linnet.commands.keep import start_keeper, stop_keeper

    labels = parts.labels and bool(configs)
    if start_keeper(configs, engine, parts=parts.keeper, server=server, windows=parts.watch, labels=labels):
        started.callback(stop_keeper)


def down() -> None:
    """Stop what `linnet up` started: requests under way are answered, runs under way are interrupted.

    `linnet runs resume` lets an interrupted run go on.
    """
    from linnet.automation.label_service import stop_services
    from linnet.commands.keep import stop_keeper
    from linnet.console.process import CONSOLE
    from linnet.launch.client import stop_engine
    from linnet.process.sidecar import stop_all

    stopped = stop_all([stop_keeper, stop_services, stop_engine, stop_server, CONSOLE.stop])
    typer.echo("stopped" if stopped else "nothing is running")


def _serve_more(running: ServerState, names: list[str], configs: list[Path], out: Console) -> None:
    """Has the server that runs serve what is missing of the named models."""
    running.check_release()
    if added := [one for one in names if one not in (running.models or [])]:
        serve_too(added, configs, out)
    served = ", ".join(running.models or [])
    out.print(
        f"{served} served already, at {running.url}; `linnet up --name NAME` adds a model", highlight=False
    )


def _engine_settings(configs: list[Path]) -> tuple[EngineConfig, list[Path]]:
    """How to start the engine, and the configs of use cases.

    One that holds [engine] and nothing else says how, or else the first.
    """
    if not configs:
        return EngineConfig(), []
    read = [(path, *load_engine_config(path)) for path in configs]
    machines = [(path, engine) for path, engine, alone in read if alone]
    if machines[1:]:
        problem = f"holds [engine] alone, as {machines[0][0]} does, and there is one engine"
        raise ConfigError(str(machines[1][0]), problem, "give one of them")
    settings = machines[0][1] if machines else read[0][1]
    return settings, [path for path, _, alone in read if not alone]


def _engine(config: EngineConfig, port: int | None, console: Console) -> bool:
    """Sees to it that the engine runs; whether it was started here."""
    from linnet.launch.client import local_engine

    if port is not None:
        config = config.model_copy(update={"port": port})
    elif "port" not in config.model_fields_set:
        config = config.model_copy(update={"port": _expected(config.bind, config.port, "engine", console)})
    host = local_engine(config, fresh_port=False, until_idle=False)
    host.keep_alive()
    console.print(f"the engine answers kfp.Client at {host.url}")
    return host.started_here


def _expected(bind: str, port: int, who: str, out: Console) -> int:
    """The port that people expect; 0, and a line that says so, where it is taken."""
    from linnet.process.sidecar import free_port

    free = free_port(bind, port)
    if free != port:
        out.print(f"port {port} is taken: the {who} takes a free one")
    return free


def _console(port: int | None, out: Console) -> bool:
    """Sees to it that the console runs, and prints its links; whether it was started here."""
    from linnet.console.process import CONSOLE, PORT

    state = CONSOLE.running()
    started = state is None
    if state is None:
        if port is None:
            port = _expected("127.0.0.1", PORT, "console", out)
        state = CONSOLE.start("--port", str(port))
    out.print(f"the console is at {state.url}; login links, one per role:")
    show_links(state.url, out)
    return started


def _labels(config: Path, out: Console) -> bool:
    """Starts the label service where people were asked and a label server is at hand; whether it did."""
    from linnet.commands.label_services import start_label_service

    try:
        url = start_label_service(config)
    except LinnetError as error:
        out.print(f"answers are not collected: {error}", soft_wrap=True)
        return False
    if url is not None:
        out.print(f"answers are collected; their metrics are at {url}/labels/metrics")
    return url is not None


def _wait(console: Console) -> None:
    from linnet.commands.keep import keeper_runs
    from linnet.launch.client import running_engine

    try:
        console.print("Ctrl-C stops it")
        while running_engine() is not None or keeper_runs():  # which starts a killed engine again
            time.sleep(0.5)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None
