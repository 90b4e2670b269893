"""The champions' server, which `linnet up` starts and `linnet down` stops."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from linnet.commands.terminal import terminal
from linnet.config import OF_THE_SERVER, Config, ServingConfig, load_config
from linnet.errors import ConfigError, LinnetError, ServingError
from linnet.process.model_server import ModelToServe, ServerProcess, ServerState, models_command
from linnet.process.watchdog import CALM_SECONDS, LONGEST_PAUSE
from linnet.records.restarts import write_restart
from linnet.registry.connect import Champion, find_champions
from linnet.storage.paths import api_keys_file, prediction_log_dir, server_state_file

logger = logging.getLogger(__name__)

STOP_SECONDS = 30.0

ConfigPaths = Annotated[
    list[Path] | None,
    typer.Option("--config", help="A config, for its model, registry and serving settings; repeatable."),
]
Names = Annotated[
    list[str] | None,
    typer.Option("--name", help="A model to serve; repeatable. Default: all that have a champion."),
]


def serve_champions(
    names: list[str],
    configs: list[Path],
    port: int | None,
    detach: bool,
    console: Console,
    keep: bool = True,
) -> None:
    """Serves the champions of the models that are named, or of all: in the background, or until Ctrl-C.

    `keep`: a server of this terminal that is killed is started again.

    Raises:
        ServingError: the server cannot start.
        RegistryError: there is no champion.
    """
    models, serving = _models_to_serve(names, configs)
    command = _server_command(models, serving, port)

    def again(wanted: list[str]) -> list[str]:
        left_out: dict[str, str] = {}
        return _server_command(*_models_to_serve(wanted or names, configs, left_out), port, left_out)

    what = ", ".join(f"{one.name} version {one.version}" for one in models)
    for told in _kept(models, serving):
        console.print(told, soft_wrap=True)
    if detach:
        url = _start(command)
        state = ServerState.read(server_state_file())
        console.print(f"{what} {'serves' if len(models) == 1 else 'serve'} at {url}; `linnet down` stops it")
        for name, why in (state.unserved if state is not None else {}).items():
            console.print(f"{name} is not served: {why}", style="red", soft_wrap=True, markup=False)
        return
    console.print(f"serving {what}; Ctrl-C stops it")
    _serve_here(command, again, console, keep)


def _serve_here(
    command: list[str], again: Callable[[list[str]], list[str]], console: Console, keep: bool
) -> NoReturn:
    """Serves until Ctrl-C, or until it ends as it was told; a server that is killed is started again.

    `again`: the command then, of the names of the models that the killed one had: their champions may be
    others by now, and models may have been added.
    """
    attempt = 0
    while True:
        began = time.monotonic()
        process = subprocess.Popen([*command, "--parent", str(os.getpid())])
        try:
            status = process.wait()
            last = ServerState.last(server_state_file())
            listened = last is not None and last.pid == process.pid
            if status == 0 or last is None or not (listened and keep):
                # `linnet down` ended it, or it never came up: it has said why
                raise typer.Exit(status)
            attempt = 1 if time.monotonic() - began > CALM_SECONDS else attempt + 1
            with suppress(OSError):
                write_restart("server", attempt, "")
            console.print(f"the server ended (status {status}) and is started again", style="red")
            time.sleep(min(2.0 ** (attempt - 1), LONGEST_PAUSE) if attempt > 1 else 0)
            try:
                command = again(last.wanted)
            except LinnetError as error:  # to serve what it served is better than nothing
                console.print(
                    f"it serves the versions that it was started with: {error}", style="red", soft_wrap=True
                )
        except KeyboardInterrupt:
            process.terminate()  # a terminal told it as well; it answers what it has, and ends
            try:
                process.wait(STOP_SECONDS)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                process.kill()
            raise typer.Exit(0) from None


def start_detached(names: list[str], configs: list[Path], port: int | None) -> str:
    """Starts the server of the champions of `names`, or of all, in the background; returns its address.

    A server that is started again answers for its good models: one that cannot be served is told.

    Raises:
        ServingError: the server cannot start.
        RegistryError: there is no champion.
    """
    left_out: dict[str, str] = {}
    models, serving = _models_to_serve(names, configs, left_out)
    return _start(_server_command(models, serving, port, left_out))


def _server_command(
    models: list[ModelToServe], serving: ServingConfig, port: int | None, left_out: Mapping[str, str] = {}
) -> list[str]:
    """The words that start a server of models, and have it say why others are `left_out`."""
    command = models_command(models, serving, server_state_file(), prediction_log_dir())
    command += ["--keys", str(api_keys_file())]
    command += [] if port is None else ["--port", str(port)]
    command += ["--unserved-json", json.dumps(dict(left_out))] if left_out else []
    server_state_file().parent.mkdir(parents=True, exist_ok=True)
    return command


def serve_too(names: list[str], configs: list[Path], console: Console) -> None:
    """Has the server that runs serve more models beside those that it serves.

    Raises:
        ServingError: a model is served already, or cannot be; those before it are served.
        RegistryError: a model has no champion.
    """
    from linnet.serving.client import ServerClient

    models, _ = _models_to_serve(names, configs)
    client = ServerClient.from_state(server_state_file())
    for model in models:
        client.open_model(model.name, model.version, model.package, model.config)
        console.print(f"{model.name} version {model.version} serves at {client.url}, too")


def _kept(models: list[ModelToServe], serving: ServingConfig) -> list[str]:
    """What is kept of the images that users send, a sentence a model; none where nothing is."""
    told = []
    for model in models:
        config = model.config or serving
        if not config.log_sample and not config.log_images:
            continue
        share = f", and {config.log_images:.0%} of all requests" if config.log_images else ""
        redacted = (
            f", averaged over blocks of {config.log_image_pixelate}" if config.log_image_pixelate else ""
        )
        told.append(
            f"{model.name}: up to {config.log_sample:g} images a minute that users send are kept{share}"
            f"{redacted}, for {config.log_image_days:g} days and {config.log_images_mb:g} MB at most, to "
            "find drift and to ask people about; if they may not be, set serving.log_sample = 0"
        )
    return told


def stop_server() -> bool:
    """Stops the server; requests under way are answered first. Whether there was one.

    Raises:
        ServingError: it does not end.
    """
    running = ServerState.read(server_state_file())
    if running is None:
        return False
    os.kill(running.pid, signal.SIGTERM)
    if not running.wait_for_exit(STOP_SECONDS):
        raise ServingError(f"process {running.pid} did not end within {STOP_SECONDS:.0f} seconds")
    return True


def _models_to_serve(
    names: list[str], paths: list[Path], left_out: dict[str, str] | None = None
) -> tuple[list[ModelToServe], ServingConfig]:
    """The champions to serve, each with its own limits, and the settings of the server as a whole.

    Those are the first config's, or defaults; and no model's images are larger than the server takes.
    `left_out` takes the models that cannot be served, with why; None: that one of them cannot is an error,
    and not only where that is so of all.
    """
    configs: dict[str, Config] = {}
    for path in paths:
        config = load_config(path)
        if config.model_name in configs:
            remedy = "give one of them, or name another model in registry.model"
            problem = f"is of the model {config.model_name}, as another config given here is"
            raise ConfigError(str(path), problem, remedy)
        configs[config.model_name] = config
    champions = _champions(names or list(configs), configs, left_out) or find_champions()
    models = []
    for one in champions:
        limits = configs[one.name].serving if one.name in configs else one.serving()
        if limits is None:  # those of another model's config are none of its business
            limits = ServingConfig()
            why = "no run stands behind its version"
            if one.run:
                why = f"the serving settings of run {one.run} cannot be read here"
            terminal(stderr=True).print(
                f"{one.name}: {why}, so the defaults hold; --config names others",
                style="yellow",
                soft_wrap=True,
            )
        models.append(ModelToServe(one.name, one.version, one.package, limits))
    serving = next((config.serving for config in configs.values()), ServingConfig())
    _tell_unused(configs, serving)
    largest = max(serving.max_body_mb, *(m.config.max_body_mb for m in models if m.config is not None), 0.0)
    images = sum(m.config.log_images_mb for m in models if m.config is not None) or serving.log_images_mb
    return models, serving.model_copy(update={"max_body_mb": largest, "log_images_mb": images})


def _champions(
    names: list[str], configs: dict[str, Config], left_out: dict[str, str] | None
) -> list[Champion]:
    """The champions of the models, each from its own config's registry, or else from the first config's."""
    registry = next((config.registry for config in configs.values()), None)
    found: list[Champion] = []
    problems: list[LinnetError] = []
    for name in names:
        try:
            found += find_champions([name], configs[name].registry if name in configs else registry)
        except LinnetError as error:
            if left_out is None:
                raise
            left_out[name] = str(error)
            logger.error("%s is not served: %s", name, error)
            problems.append(error)
    if problems and not found:
        raise problems[0]
    return found


def _tell_unused(configs: dict[str, Config], serving: ServingConfig) -> None:
    """Says which settings of the later configs do not hold, as one server serves all models."""
    for model, config in configs.items():
        for setting in OF_THE_SERVER:
            wanted, holds = getattr(config.serving, setting), getattr(serving, setting)
            if wanted != holds:
                terminal(stderr=True).print(
                    f"{model}: serving.{setting} = {wanted!r} does not hold: one server serves all models, "
                    f"with {holds!r} of the first config",
                    style="yellow",
                    soft_wrap=True,
                )


def _start(command: list[str]) -> str:
    """Starts the server in the background and returns its address once it is ready."""
    state_file = server_state_file()
    return ServerProcess(command, state_file, state_file.with_name("server.log")).state.url
