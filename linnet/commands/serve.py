"""`linnet predict`, and the champion's server that `linnet up` starts and `linnet down` stops."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from linnet.commands.terminal import fits, terminal
from linnet.config import Config, ServingConfig, load_config
from linnet.errors import ConfigError, DataError, RequestRejected, ServingError
from linnet.process.model_server import ModelToServe, ServerProcess, ServerState, models_command
from linnet.process.watchdog import CALM_SECONDS, LONGEST_PAUSE
from linnet.records.restarts import write_restart
from linnet.registry.connect import find_champion, find_champions, several_models
from linnet.storage.paths import api_keys_file, prediction_log_dir, server_state_file

if TYPE_CHECKING:
    from linnet.serving.client import ServerClient

STOP_SECONDS = 30.0
_ABOUT_THE_IMAGE = (400, 413, 415, 422)
"""Statuses that say something of this image alone; with others none can be answered."""

ConfigPath = Annotated[
    Path | None, typer.Option("--config", help="A config, for its model, registry and serving settings.")
]
ConfigPaths = Annotated[
    list[Path] | None,
    typer.Option("--config", help="A config, for its model, registry and serving settings; repeatable."),
]
Name = Annotated[str, typer.Option("--name", help="The model's name; needed where there are several.")]
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
    what = ", ".join(f"{one.name} version {one.version}" for one in models)
    for told in _kept(models, serving):
        console.print(told, soft_wrap=True)
    if detach:
        url = _start(command)
        missing = _missing(models)
        console.print(f"{what} {'serves' if len(models) == 1 else 'serve'} at {url}; `linnet down` stops it")
        if missing:
            console.print(
                f"not served: {', '.join(missing)}; {server_state_file().with_name('server.log')} says why",
                style="red",
            )
        return
    console.print(f"serving {what}; Ctrl-C stops it")
    _serve_here([*command, "--parent", str(os.getpid())], console, keep)


def _serve_here(command: list[str], console: Console, keep: bool) -> NoReturn:
    """Serves until Ctrl-C, or until it ends as it was told; a server that is killed is started again."""
    attempt = 0
    while True:
        began = time.monotonic()
        process = subprocess.Popen(command)
        try:
            status = process.wait()
            last = ServerState.last(server_state_file())
            listened = last is not None and last.pid == process.pid
            if status == 0 or not (
                listened and keep
            ):  # `linnet down` ended it, or it never came up: it has said why
                raise typer.Exit(status)
            attempt = 1 if time.monotonic() - began > CALM_SECONDS else attempt + 1
            with suppress(OSError):
                write_restart("server", attempt, "")
            console.print(f"the server ended (status {status}) and is started again", style="red")
            time.sleep(min(2.0 ** (attempt - 1), LONGEST_PAUSE) if attempt > 1 else 0)
        except KeyboardInterrupt:
            process.terminate()  # a terminal told it as well; it answers what it has, and ends
            try:
                process.wait(STOP_SECONDS)
            except (subprocess.TimeoutExpired, KeyboardInterrupt):
                process.kill()
            raise typer.Exit(0) from None


def start_detached(names: list[str], configs: list[Path], port: int | None) -> str:
    """Starts the server of the champions of `names`, or of all, in the background; returns its address.

    Raises:
        ServingError: the server cannot start.
        RegistryError: there is no champion.
    """
    return _start(_server_command(*_models_to_serve(names, configs), port))


def _server_command(models: list[ModelToServe], serving: ServingConfig, port: int | None) -> list[str]:
    """The words that start a server of models."""
    command = models_command(models, serving, server_state_file(), prediction_log_dir())
    command += ["--keys", str(api_keys_file())]
    command += [] if port is None else ["--port", str(port)]
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
        redacted = f", averaged over blocks of {config.log_image_blocks}" if config.log_image_blocks else ""
        told.append(
            f"{model.name}: up to {config.log_sample:g} images a minute that users send are kept{share}"
            f"{redacted}, for {config.log_image_days:g} days and {config.log_images_mb:g} MB at most, to "
            "find drift and to ask people about; if they may not be, set serving.log_sample = 0"
        )
    return told


def _missing(models: list[ModelToServe]) -> list[str]:
    """Models that the server could not load when it started."""
    state = ServerState.read(server_state_file())
    served = (state.models or []) if state is not None else []
    return [model.name for model in models if model.name not in served]


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


def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    name: Name = "",
    config: ConfigPath = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON, a line an image.")] = False,
) -> None:
    """Name the three likeliest classes of images, and the model version that says so.

    Asks the server that `linnet up` started; a champion that none serves is loaded here. A file that
    cannot be answered hides none of the others; the exit status is then 1.

    Examples:

      linnet predict examples/boot.png

      linnet predict --name fashion examples/boot.png
    """
    import json

    images = _files(images)
    answers: list[tuple[Path, dict[str, Any]]] = []
    try:
        for image, answer in zip(images, _answers(images, name, config), strict=True):
            answers.append((image, answer))
            if json_output:
                typer.echo(json.dumps({"image": str(image), **answer}))
    finally:  # what was answered is told, also if the server then refused, or somebody pressed Ctrl-C
        failed = [(image, answer["error"]) for image, answer in answers if "error" in answer]
        if len(failed) < len(answers) and not json_output:
            _show_answers(answers)
        for image, problem in failed:
            terminal(stderr=True).print(f"{image}: {problem}", style="red", soft_wrap=True)
    if failed:
        raise typer.Exit(1)


def _files(paths: list[Path]) -> list[Path]:
    """The files, and those below folders; what is left out there is told.

    Raises:
        DataError: a folder cannot be read, or holds no image.
    """
    from linnet.data.folder_tree import count_reasons, walk

    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            found.append(path)
            continue
        tree = walk(path)
        images, left_out = tree.all_images(), count_reasons(tree.all_left_out())
        if not images:
            raise DataError(str(path), "holds no image", "name a file, or a folder of images")
        told = ", ".join(f"{number:,} {reason}" for reason, number in left_out.items())
        if told:
            terminal(stderr=True).print(f"{path}: left out {told}", soft_wrap=True)
        found += images
    return found


def _show_answers(answers: list[tuple[Path, dict[str, Any]]]) -> None:
    table, console = Table("image", "class", "probability", "version"), terminal()
    lines: list[str] = []
    for image, answer in answers:
        if answer.get("predictions") == []:
            table.add_row(str(image), "none", "", f"{answer['model']} {answer['version']}")
            lines.append(f"{image}  none  {answer['model']} {answer['version']}")
        lines += [f"{image}  {answer['model']} {answer['version']}"] if answer.get("predictions") else []
        for rank, likely in enumerate(answer.get("predictions", ())):
            first = rank == 0
            share = f"{likely['probability']:6.1%}"
            version = f"{answer['model']} {answer['version']}" if first else ""
            table.add_row(str(image) if first else "", likely["class"], share, version)
            lines.append(f"  {share}  {likely['class']}")
    if fits(table, console):
        console.print(table)
    else:  # names that a box would cut
        console.print("\n".join(lines))


def _answer(client: ServerClient, image: Path) -> dict[str, Any]:
    try:
        return client.predict(image)
    except RequestRejected as error:
        if error.status not in _ABOUT_THE_IMAGE:
            raise RequestRejected(error.status, f"{image}: {error.problem}") from error
        return {"error": error.problem}
    except ServingError:
        if os.access(image, os.R_OK) and image.is_file():
            raise
        return {"error": "cannot be read (no such file, or not readable)"}


def _answers(images: list[Path], name: str, config: Path | None) -> Iterator[dict[str, Any]]:
    """The answers to images, in their order, each as it comes."""
    from linnet.serving.client import ServerClient

    loaded = load_config(config) if config is not None else None
    wanted = name or (loaded.model_name if loaded is not None else "")
    if ServerState.read(server_state_file()) is not None:
        client = ServerClient.from_state(server_state_file())
        served = client.models()
        if not wanted and len(served) > 1:
            raise several_models(served, "are served")
        if not wanted or wanted in served:
            client.model = wanted or served[0]
            yield from (_answer(client, image) for image in images)
            return
    from linnet.serving.local import local_answers

    champion = find_champion(wanted, loaded.registry if loaded is not None else None)
    where = champion.package, champion.name, champion.version
    yield from local_answers(*where, images)


def _models_to_serve(names: list[str], paths: list[Path]) -> tuple[list[ModelToServe], ServingConfig]:
    """The champions to serve, each with its own limits, and the settings of the server as a whole.

    Those are the first config's, or defaults; and no model's images are larger than the server takes.
    """
    configs: dict[str, Config] = {}
    for path in paths:
        config = load_config(path)
        if config.model_name in configs:
            remedy = "give one of them, or name another model in registry.model"
            problem = f"is of the model {config.model_name}, as another config given here is"
            raise ConfigError(str(path), problem, remedy)
        configs[config.model_name] = config
    registry = next((config.registry for config in configs.values()), None)
    champions = [
        champion
        for name in names or configs
        for champion in find_champions([name], configs[name].registry if name in configs else registry)
    ] or find_champions()
    models = []
    for one in champions:
        limits = configs[one.name].serving if one.name in configs else one.serving()
        if limits is None:  # those of another model's config are none of its business
            limits = ServingConfig()
            if one.run:
                terminal(stderr=True).print(
                    f"{one.name}: the serving settings of run {one.run} cannot be read here, so the defaults "
                    "hold; --config names others",
                    style="yellow",
                    soft_wrap=True,
                )
        models.append(ModelToServe(one.name, one.version, one.package, limits))
    serving = next((config.serving for config in configs.values()), ServingConfig())
    largest = max(serving.max_body_mb, *(m.config.max_body_mb for m in models if m.config is not None), 0.0)
    images = sum(m.config.log_images_mb for m in models if m.config is not None) or serving.log_images_mb
    return models, serving.model_copy(update={"max_body_mb": largest, "log_images_mb": images})


def _start(command: list[str]) -> str:
    """Starts the server in the background and returns its address once it is ready."""
    state_file = server_state_file()
    return ServerProcess(command, state_file, state_file.with_name("server.log")).state.url
