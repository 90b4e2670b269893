"""`linnet requests ...`: one request by its id, and those that the server refused or failed on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from linnet.commands.terminal import fits, terminal
from linnet.config import RegistryConfig
from linnet.errors import ConfigError, LinnetError, Reason, ServingError
from linnet.records import ModelPackage
from linnet.records.refused import RefusedRequest, body_of, quarantine_folder, refused_requests
from linnet.storage.paths import prediction_log_dir, server_state_file

if TYPE_CHECKING:
    from linnet.tasks.answer import Answer, Listed

app = typer.Typer(
    help="Look at one request, and at those that were refused; send them again.", no_args_is_help=True
)
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ReasonName = Annotated[
    str, typer.Option("--reason", help=f"Only those of one reason: {', '.join(get_args(Reason))}.")
]
Found = tuple[RefusedRequest, Path]


@app.command("refused")
def refused(
    reason: ReasonName = "",
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List requests that the server refused, or failed on, with the reason that their senders were told.

    The server keeps a sample of them (`serving.refused_keep`, `refused_mb`, `refused_days`); the metric
    `linnet_validation_failures_total` counts all, by reason.

    Examples:

      linnet requests refused

      linnet requests refused --reason decode --limit 5 --json
    """
    found = _refused(reason)
    if as_json:
        for request, _ in found[:limit]:
            typer.echo(request.model_dump_json())
        return
    console = terminal()
    if not found:
        of = f" for the reason {reason}" if reason else ""
        console.print(f"no refused request is kept{of}: {_folder()}")
        return
    counts: dict[str, int] = {}
    for request, _ in found:
        counts[request.reason] = counts.get(request.reason, 0) + 1
    console.print(
        ", ".join(f"{count} x {name}" for name, count in sorted(counts.items(), key=lambda one: -one[1]))
    )
    table = Table("at (UTC)", "request", "model", "status", "reason", "body", "what the sender was told")
    lines: list[Text] = []
    for request, _ in found[:limit]:
        body = f"{request.size:,} bytes" + ("" if request.kept or not request.size else ", not kept")
        cells = (
            f"{request.at:%Y-%m-%d %H:%M:%S}", request.request_id, request.model, str(request.status),
            request.reason, body, _printable(request.problem),
        )  # fmt: skip
        table.add_row(*map(Text, cells))
        lines += [Text("  ".join(cells[:-1])), Text(f"  {cells[-1]}")]
    _print_whole(table, lines, console)
    console.print("`linnet requests show ID` shows one, `linnet requests replay` sends them again")


@app.command("replay")
def replay(
    request_ids: Annotated[
        list[str] | None, typer.Argument(help="Ids of refused requests; none: all that are kept.")
    ] = None,
    reason: ReasonName = "",
    limit: Annotated[int, typer.Option(min=1, help="At most so many, the newest first.")] = 100,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
) -> None:
    """Send refused requests again to the server that runs, such as after a limit was raised.

    Each gets an id of its own, so that the log tells it from the first. Exit status 0 if all are answered
    now, 1 if some are not.

    Examples:

      linnet requests replay --reason pixels --dry-run

      linnet requests replay 3f2a9c --reason decode
    """
    from linnet.serving.client import ServerClient

    found = [(r, path) for r, path in _refused(reason) if not request_ids or r.request_id in request_ids]
    if missing := set(request_ids or ()) - {request.request_id for request, _ in found}:
        raise ServingError(
            f"no refused request {', '.join(sorted(missing))} is kept: see `linnet requests refused`"
        )
    chosen = [one for one in found if one[0].kept][:limit]
    if not chosen:
        raise ServingError("no refused request is kept whole, so there is nothing to send")
    console = terminal()
    if dry_run:
        for request, _ in chosen:
            console.print(
                Text(f"would send {request.request_id} to {_address(request)}, {request.size:,} bytes")
            )
        return
    client = ServerClient.from_state(server_state_file())
    answered, table = 0, Table("request", "before", "now", "answer")
    lines: list[Text] = []
    for request, path in chosen:
        try:
            status, _, body = client.request(
                request.method, _address(request), body_of(path), request.headers
            )
            answered += status == 200
            now, said = Text(str(status), "green" if status == 200 else "red"), _printable(_said(body))
        except LinnetError as error:  # one that is gone, or breaks the server off, hides none of the others
            now, said = Text("no answer", "red"), _printable(str(error))
        before = f"{request.status} {request.reason}"
        table.add_row(Text(request.request_id), before, now, Text(said))
        lines.append(Text.assemble(f"{request.request_id}  {before}, now ", now, f": {said}"))
    _print_whole(table, lines, console)
    left_out = len(found) - len(chosen)
    rest = f"; {left_out} were not sent (not kept whole, or beyond --limit)" if left_out else ""
    console.print(f"{answered} of {len(chosen)} are answered now{rest}")
    raise typer.Exit(0 if answered == len(chosen) else 1)


def _address(request: RefusedRequest) -> str:
    """Where a refused request is sent again: to the model that it meant, whatever is served by now."""
    path, mark, query = request.path.partition("?")
    if path == "/predict" and request.model:
        path = f"/predict/{quote(request.model, safe='')}"
    return path + mark + query


@app.command("show")
def show(
    request_id: Annotated[str, typer.Argument(help="A request's id, or a sample's.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Write the image there, or the body of a refused request."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show one request: answer, version, latency, feedback, and the image if the log kept it.

    Looks into the prediction log, then into the refused requests. An id stands in each answer, in the header
    `Linnet-Request-Id`, and in what `linnet diagnose` lists.

    Examples:

      linnet requests show 3f2a9c

      linnet requests show 3f2a9c -o image.png
    """
    from linnet.monitoring.request_lookup import find_request

    served = find_request(prediction_log_dir(), request_id)
    if served is not None:
        about, content = _served(served), next((one.image for one in served.images if one.image), None)
        why_not = "the log kept no image of it (serving.log_images says of how many it does)"
    else:
        request, path = _one_refused(request_id)
        about, content = _refusal(request), body_of(path) if request.kept else None
        why_not = "its body was not kept"
    if as_json:
        typer.echo(json.dumps(about, indent=1))
    else:
        table = Table("what", "value", title=f"request {_printable(request_id)}", title_justify="left")
        for what, value in about.items():
            for line in value if isinstance(value, list) else [value]:
                table.add_row(what, Text(_printable(str(line))))
        terminal().print(table)
    if output is not None:
        if content is None:
            raise ServingError(f"request {request_id}: {why_not}")
        output.write_bytes(content)
        terminal(stderr=True).print(f"wrote {output}, {len(content):,} bytes")


def _served(request: Any) -> dict[str, Any]:
    answer, run = _version(request.model, request.version)
    images = []
    for one in request.images:
        listed = _listed(answer, one.probabilities) if answer else []
        likely = ", ".join(f"{named['class']} {named['probability']:.1%}" for named in listed)
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


def _listed(answer: Answer, values: tuple[float, ...]) -> Listed:
    """What a client was answered; nothing where the log holds numbers of another model."""
    import numpy as np

    try:
        return answer.listed(answer.unpacked(np.asarray(values, np.float32), np.array([len(values)]))[0])
    except ValueError:
        return []


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


def _folder() -> Path:
    return quarantine_folder(prediction_log_dir())


def _refused(reason: str) -> list[Found]:
    if reason and reason not in get_args(Reason):
        raise ConfigError(
            "--reason", f"there is no reason {reason!r}", f"one of {', '.join(get_args(Reason))}"
        )
    return [one for one in refused_requests(_folder()) if not reason or one[0].reason == reason]


def _one_refused(request_id: str) -> Found:
    found = next((one for one in refused_requests(_folder()) if one[0].request_id == request_id), None)
    if found is None:
        raise ServingError(
            f"no request {request_id!r:.150} is in the prediction log ({prediction_log_dir()}) or among the "
            "refused ones; one that was answered just now is there within a second"
        )
    return found


def _print_whole(table: Table, lines: list[Text], console: Console) -> None:
    """The table, or lines where it would cut the ids: they are there to be copied."""
    if fits(table, console):
        console.print(table)
    else:
        console.print(*lines, sep="\n")


def _said(body: bytes) -> str:
    """What an answer comes to, in words."""
    try:
        answer = json.loads(body)
        return str(answer.get("error") or answer["predictions"][0]["class"])
    except (ValueError, LookupError, AttributeError, TypeError):
        return f"{len(body):,} bytes"


def _printable(text: str) -> str:
    """Text from outside as a terminal may show it: no control character moves its cursor."""
    return "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in text)
