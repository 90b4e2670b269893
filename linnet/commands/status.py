"""`linnet status`: one screen that answers "is all well?"."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from linnet.commands.terminal import terminal
from linnet.errors import LinnetError, RegistryError, StorageError

if TYPE_CHECKING:  # the console's libraries take a second to import: `linnet --help` does without
    from linnet.console.context import Context
    from linnet.console.health import Health, LineState, ModelHealth, StatusLine
    from linnet.labels.status import LabelStatus

EXIT_CODES: dict[Health, int] = {"well": 0, "not well": 1, "unknown": 7}
_COLORS: dict[LineState, str] = {"well": "green", "unknown": "yellow", "not well": "bold red", "info": "dim"}
_ORDER: dict[LineState, int] = {"not well": 0, "unknown": 1, "info": 2, "well": 3}


def status(
    name: Annotated[
        list[str] | None, typer.Option("--name", help="A model; repeatable. Default: all.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether all is well: champion, traffic, service levels, drift, labels, runs, alerts, the policy.

    Reads what is on this machine, so that it answers with the server down, too. What nobody measured is
    `unknown`. Exit status: 0 all is well, 1 something is not, 7 nothing is wrong and not all was measured.

    Examples:

      linnet status

      linnet status --name fashion --json
    """
    from linnet.console.context import Context
    from linnet.console.health import overall

    context = Context()
    try:
        models = context.sources.models()
    except LinnetError as error:
        raise RegistryError(f"the registry cannot be asked, so nothing can be said: {error}") from error
    if missing := [one for one in name or [] if one not in models]:
        known = ", ".join(models) or "none yet"
        raise RegistryError(f"there is no model {missing[0]!r} (known: {known})")
    found = [_health(context, model) for model in name or models]
    services = _services()
    state = overall([one.state for one in found]) if found else "unknown"
    if as_json:
        values = {
            "state": state, "models": [one.values() for one in found],
            "services": {line.what: line.words for line in services},
        }  # fmt: skip
        typer.echo(json.dumps(values, indent=1))
    else:
        _show(state, found, services, terminal())
    raise typer.Exit(EXIT_CODES[state])


def _health(context: Context, model: str) -> ModelHealth:
    from linnet.console.context import model_of
    from linnet.console.health import ModelHealth, StatusLine, health
    from linnet.console.production_status import watched

    try:
        found = watched(context, model)
        runs = [run for run in context.sources.runs() if model_of(run) == model]
        return health(
            found,
            context.sources.served(model),
            context.sources.canary(model),
            _labels(found.config.name),
            runs,
        )
    except (LinnetError, OSError) as error:  # one model's damaged file hides no other's
        return ModelHealth(model, (StatusLine("Records", "unknown", f"cannot be read: {error}"),))


def _labels(dataset: str) -> LabelStatus | str | None:
    """The state of its labels; None: nothing was ever asked; a text: why it is not known."""
    from linnet.labels import status as labels
    from linnet.labels.store import database

    if not database(dataset).exists():
        return None
    try:
        return labels.status(dataset)
    except StorageError as error:
        return str(error)


def _services() -> list[StatusLine]:
    """What `linnet up` starts beside the server."""
    from linnet.console.health import StatusLine
    from linnet.console.process import CONSOLE
    from linnet.launch.client import running_engine

    engine, console = running_engine(), CONSOLE.running()
    return [
        StatusLine("engine", "info", f"at {engine.url}" if engine else "not running: `linnet up` starts it"),
        StatusLine("console", "info", f"at {console.url}" if console else "not running"),
    ]


def _show(state: Health, found: list[ModelHealth], services: list[StatusLine], console: Console) -> None:
    words = {
        "well": "all is well",
        "not well": "NOT WELL",
        "unknown": "UNKNOWN: nothing that was measured is wrong, and not all was measured",
    }
    console.print(Text(words[state], _COLORS[state]))
    if not found:
        console.print("no model is registered yet: `linnet run CONFIG` makes one")
    for one in found:
        table = Table("", "state", "what is known", title=one.model, title_justify="left")
        for line in sorted(one.lines, key=lambda line: _ORDER[line.state]):
            state_of = Text("" if line.state == "info" else line.state, _COLORS[line.state])
            more = f"; see the runbook {line.runbook}" if line.runbook else ""
            table.add_row(Text(line.what), state_of, Text(line.words + more))
        console.print(table)
    for line in services:
        console.print(f"{line.what}: {line.words}", highlight=False)
    if state != "well":
        console.print("`linnet diagnose` says whether data, model or infrastructure is at fault")
