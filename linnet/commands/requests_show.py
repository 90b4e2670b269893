"""What `linnet requests show ID` says: each answer to an id, and each refusal, the newest first."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.table import Table
from rich.text import Text

from linnet.commands.terminal import terminal
from linnet.config import RegistryConfig
from linnet.errors import LinnetError, ServingError
from linnet.records import ModelPackage
from linnet.records.refused import RefusedRequest, body_of, quarantine_folder, refused_requests
from linnet.storage.paths import prediction_log_dir

if TYPE_CHECKING:
    from linnet.monitoring.request_lookup import ServedRequest
    from linnet.tasks.answer import Answer

MOST_ANSWERS = 20
"""Answers that are shown; an image that is sent each minute has thousands."""


@dataclass(frozen=True, slots=True)
class _Shown:
    """One answer, or one refusal."""

    at: datetime
    about: dict[str, Any]
    contents: list[bytes] = field(default_factory=list)
    """Its kept images, or the body of what was refused."""


def show_answers(request_id: str, output: Path | None, as_json: bool) -> None:
    """Prints all that is known of an id, and writes what was kept of it to `output` and names beside it.

    Raises:
        ServingError: nobody knows the id, or nothing that could be written was kept.
    """
    found = _found(request_id)
    shown = found[:MOST_ANSWERS]
    for number, one in enumerate(shown, 1):
        if as_json:
            typer.echo(json.dumps(one.about))
            continue
        which = f", answer {number} of {len(found)}" if len(found) > 1 else ""
        table = Table("what", "value", title=f"request {printable(request_id)}{which}", title_justify="left")
        for what, value in one.about.items():
            for line in value if isinstance(value, list) else [value]:
                table.add_row(what, Text(printable(str(line))))
        terminal().print(table)
    if left := len(found) - len(shown):
        terminal(stderr=as_json).print(f"and {left:,} older answers")
    if output is not None:
        _write(request_id, shown, output)


def _found(request_id: str) -> list[_Shown]:
    from linnet.monitoring.request_lookup import find_requests

    log = prediction_log_dir()
    found = [
        _Shown(one.at, _served(one), [image.image for image in one.images if image.image])
        for one in find_requests(log, request_id)
    ]
    for request, path in refused_requests(quarantine_folder(log)):
        if request.request_id == request_id:
            body = [body_of(path)] if request.kept else []
            found.append(_Shown(request.at, _refusal(request), body))
    if not found:
        raise ServingError(
            f"no request {request_id!r:.150} is in the prediction log ({log}) or among the "
            "refused ones; one that was answered just now is there within a second"
        )
    return sorted(found, key=lambda one: one.at, reverse=True)


def _write(request_id: str, shown: list[_Shown], output: Path) -> None:
    """Each content once: the first to `output`, others to `-2`, `-3`, ... beside it."""
    contents = list(dict.fromkeys(content for one in shown for content in one.contents))
    if not contents:
        raise ServingError(
            f"request {request_id}: neither image nor body of it was kept "
            "(serving.log_images says of how many the log keeps the images)"
        )
    for number, content in enumerate(contents, 1):
        path = output if number == 1 else output.with_name(f"{output.stem}-{number}{output.suffix}")
        path.write_bytes(content)
        terminal(stderr=True).print(f"wrote {path}, {len(content):,} bytes")


def printable(text: str) -> str:
    """Text from outside as a terminal may show it: no control character moves its cursor."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)


def _served(request: ServedRequest) -> dict[str, Any]:
    from linnet.monitoring.request_lookup import listed

    answer, run = _version(request.model, request.version)
    images = []
    for one in request.images:
        told = listed(answer, one.probabilities) if answer else []
        likely = ", ".join(f"{named['class']} {named['probability']:.1%}" for named in told)
        said = f"{one.index}: {likely or f'{one.predicted} {one.confidence or 0:.1%}'}"
        feedback = f"; labelled {one.label} at {one.labelled_at:%Y-%m-%d %H:%M} UTC" if one.label else ""
        kept = "; image kept" if one.image else ""
        images.append(f"{said}; sample {one.sample_id}{feedback}{kept}" if not request.error else said)
    return {
        "at (UTC)": f"{request.at:%Y-%m-%d %H:%M:%S}",
        "model": request.model,
        "version": request.version,
        "run of the version": run,
        "latency": f"{request.latency_ms:.1f} ms, without the queue",
        "outcome": f"failed: {request.error}" if request.error else "answered",
        **({} if request.error else {"answer": images}),
    }


def _refusal(request: RefusedRequest) -> dict[str, Any]:
    return {
        "at (UTC)": f"{request.at:%Y-%m-%d %H:%M:%S}",
        "model": request.model,
        "outcome": f"refused: {request.status}, {request.reason}",
        "problem": request.problem,
        "sent to": f"{request.method} {request.path}",
        "body": f"{request.size:,} bytes, {'kept' if request.kept else 'not kept'}",
        "headers": [f"{name}: {value}" for name, value in request.headers.items()] or ["none of interest"],
    }


def _version(model: str, version: str) -> tuple[Answer | None, str]:
    """Who reads a version's answers, and its run; None where the registry does not know it."""
    from linnet.registry.connect import connect
    from linnet.tasks.answer import answer_of_package

    try:
        registry = connect(RegistryConfig())
        found = registry.version(model, version)
        package = ModelPackage.load(registry.package_folder(found) / "package.json")
    except LinnetError:
        return None, "not known here"
    return answer_of_package(package), found.tags.get("run") or "not known"
