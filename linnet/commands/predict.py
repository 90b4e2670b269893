"""`linnet predict`: images to their likeliest classes, by the server that runs or by the champion itself."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from linnet.commands.terminal import fits, progress_bars, terminal
from linnet.config import DEFAULT_TASK, load_config
from linnet.errors import ConfigError, DataError, RequestRejected, ServingError
from linnet.process.model_server import ServerState
from linnet.records import ModelPackage
from linnet.registry.connect import Champion, find_champion, several_models
from linnet.storage.paths import server_state_file

if TYPE_CHECKING:
    from linnet.serving.client import ServerClient

ConfigPath = Annotated[
    Path | None, typer.Option("--config", help="A config, for its model, registry and serving settings.")
]
Name = Annotated[str, typer.Option("--name", help="The model's name; needed where there are several.")]


_ABOUT_THE_IMAGE = (400, 413, 415, 422)
"""Statuses that say something of this image alone; with others none can be answered."""


def predict(
    images: Annotated[list[Path], typer.Argument(help="Image files, or folders of them.")],
    name: Name = "",
    config: ConfigPath = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON, one line per image.")] = False,
    draw: Annotated[
        Path | None, typer.Option("--draw", help="Draw the answer over the image, too: a new .png file.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write a table instead: a new .parquet or .csv file.")
    ] = None,
) -> None:
    """Name the three likeliest classes of images, and the model version that says so.

    Asks the server that `linnet up` started; a champion that none serves is loaded here. A file that
    cannot be answered hides none of the others; the exit status is then 1.

    Examples:

      linnet predict examples/boot.png

      linnet predict --name fashion examples/boot.png

      linnet predict photos/ --out answers.parquet
    """
    images, asked = _files(images), _asked(name, config)
    if out is not None:
        _write(out, images, _answers(images, asked))
        return
    if draw is not None and len(images) > 1:
        raise ConfigError("--draw", f"is one file, and there are {len(images)} images", "name one image")
    answers: list[tuple[Path, dict[str, Any]]] = []
    try:
        for image, answer in zip(images, _answers(images, asked), strict=True):
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
    if draw is not None:
        from linnet.commands.drawn_answer import draw_answer

        draw_answer(images[0], answers[0][1], _task(asked), draw)
        terminal(stderr=True).print(f"wrote {draw}", soft_wrap=True)


def _write(out: Path, images: list[Path], answers: Iterator[dict[str, Any]]) -> None:
    """Answers into a table, under a bar; what was answered stays in it if the rest cannot be."""
    from linnet.commands.answer_table import answer_table

    failed = 0
    with answer_table(out) as table:
        try:
            with progress_bars() as progress:
                for done, (image, answer) in enumerate(zip(images, answers, strict=True), start=1):
                    table.add(image, answer)
                    failed += "error" in answer
                    progress("images", done, len(images))
        finally:
            table.flush()
            told = f", {failed:,} of them with an error" if failed else ""
            terminal(stderr=True).print(
                f"{out}: {table.written:,} of {len(images):,} images{told}", soft_wrap=True
            )
    if failed:
        raise typer.Exit(1)


def _asked(name: str, config: Path | None) -> ServerClient | Champion:
    """Who answers: the server, where it serves the model, or else the champion, loaded here."""
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
            return client
    return find_champion(wanted, loaded.registry if loaded is not None else None)


def _answers(images: list[Path], asked: ServerClient | Champion) -> Iterator[dict[str, Any]]:
    """The answers to images, in their order, each as it comes."""
    from linnet.serving.local import local_answers

    if isinstance(asked, Champion):
        return local_answers(asked.package, asked.name, asked.version, images)
    return (_answer(asked, image) for image in images)


def _task(asked: ServerClient | Champion) -> str:
    """The task of who answers."""
    if isinstance(asked, Champion):
        return ModelPackage.load(asked.package / "package.json").task
    about = asked.metadata(asked.model)["outputs"][0]["parameters"]
    return str(about.get("task", DEFAULT_TASK))


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
