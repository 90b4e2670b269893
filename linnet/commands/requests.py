"""`linnet requests ...`: one request by its id, and those that the server refused or failed on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, get_args
from urllib.parse import quote

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from linnet.commands.requests_show import printable, show_answers
from linnet.commands.terminal import fits, terminal
from linnet.errors import ConfigError, LinnetError, Reason, ServingError
from linnet.records.refused import RefusedRequest, body_of, quarantine_folder, refused_requests
from linnet.storage.paths import prediction_log_dir, server_state_file

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
            request.reason, body, printable(request.problem),
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
    limit: Annotated[int, typer.Option(min=1, help="At most this many, the newest first.")] = 100,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent.")] = False,
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
            now, said = Text(str(status), "green" if status == 200 else "red"), printable(_said(body))
        except LinnetError as error:  # one that is gone, or breaks the server off, hides none of the others
            now, said = Text("no answer", "red"), printable(str(error))
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
        typer.Option(
            "--output",
            "-o",
            help="Write the image there (more: NAME-2, ...), or the body of a refused request.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what became of a request: answer, version, latency, feedback, and the images that the log kept.

    Looks into the prediction log and the refused requests. An id stands in each answer, in the header
    `Linnet-Request-Id`, and in what `linnet diagnose` lists. Where several models were asked under one id, or
    a request was sent again, each answer is shown, the newest first; with --json, one a line.

    Examples:

      linnet requests show 3f2a9c

      linnet requests show 3f2a9c -o image.png
    """
    show_answers(request_id, output, as_json)


def _folder() -> Path:
    return quarantine_folder(prediction_log_dir())


def _refused(reason: str) -> list[Found]:
    if reason and reason not in get_args(Reason):
        raise ConfigError(
            "--reason", f"there is no reason {reason!r}", f"one of {', '.join(get_args(Reason))}"
        )
    return [one for one in refused_requests(_folder()) if not reason or one[0].reason == reason]


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
