"""`linnet diagnose`: data, model or infrastructure?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from linnet.commands.chosen_config import ModelName, OptionalConfig, chosen_config
from linnet.commands.terminal import terminal
from linnet.config import Config
from linnet.errors import LinnetError
from linnet.records import Deploy, Diagnosis, Symptoms

if TYPE_CHECKING:
    from pathlib import Path

    from linnet.monitoring.symptoms import Places

DEPLOYS = 5
"""The newest, in the list."""
EXIT_CODES = {"sound": 0, "data": 4, "model": 5, "infrastructure": 6, "unknown": 7}
_WORDS = {
    "sound": ("sound: all was measured, and nothing is wrong", "green"),
    "unknown": ("UNKNOWN: nothing that was measured is wrong, and not all was measured", "yellow"),
}


def diagnose(
    config: OptionalConfig = None,
    name: ModelName = "",
    minutes: Annotated[float, typer.Option(min=1, help="How far back the traffic is looked at.")] = 30.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the diagnosis as JSON.")] = False,
) -> None:
    """Say whether data, model or infrastructure is at fault, with the evidence.

    Looks at the server and its metrics, the prediction log, the newest monitored window and the one that is
    still open, and the ledger of deploys. The exit status says which: 0 all was measured and nothing is
    wrong, 4 data, 5 model, 6 infrastructure, 7 nothing wrong was found, and not all was measured.

    Examples:

      linnet diagnose

      linnet diagnose --name fashion --minutes 5 --json

      linnet diagnose configs/fashion.toml
    """
    from linnet.monitoring.diagnose import diagnose as judge
    from linnet.monitoring.symptoms import gather

    loaded, console = chosen_config(config, name), terminal()
    places, notes = _places(loaded)
    symptoms = gather(places, minutes)
    found = judge(symptoms, loaded.service_levels, loaded.retraining)
    if as_json:
        typer.echo(found.model_dump_json(indent=1))
    else:
        _show(found, symptoms, notes, console)
    raise typer.Exit(EXIT_CODES[found.verdict])


def _places(config: Config) -> tuple[Places, list[str]]:
    from linnet.automation.monitoring_schedule import unwatched
    from linnet.monitoring.history import windows_folder
    from linnet.monitoring.symptoms import Places
    from linnet.storage.paths import prediction_log_dir, server_state_file, state_dir

    model = config.model_name
    champion, package, deploys, notes = _deploys(config, model)
    return Places(
        model=model,
        champion=champion,
        server_state=server_state_file(),
        log=prediction_log_dir(),
        windows=windows_folder(),
        disk=state_dir(),
        deploys=deploys,
        package=package,
        monitoring=config.monitoring,
        unwatched=unwatched(model),
    ), notes


def _deploys(config: Config, model: str) -> tuple[str | None, Path | None, tuple[Deploy, ...], list[str]]:
    """The champion, its package, and its moves, newest first; a registry that cannot be asked is a note."""
    from linnet.registry.connect import connect

    try:
        registry = connect(config.registry)
        champion = registry.champion(model)
        moves = [e for e in registry.ledger.entries(model) if e.action in ("promote", "rollback")]
    except LinnetError as error:
        return None, None, (), [f"the registry cannot be asked: {error}"]
    deploys = tuple(
        Deploy(
            at=entry.at, version=entry.version, previous=entry.previous, action=entry.action,
            actor=entry.actor, reason=entry.reason,
        )
        for entry in reversed(moves)
    )  # fmt: skip
    if champion is None:
        return None, None, deploys, []
    try:
        return champion.version, registry.package_folder(champion), deploys, []
    except LinnetError as error:
        return champion.version, None, deploys, [f"the champion's package cannot be read: {error}"]


def _show(found: Diagnosis, symptoms: Symptoms, notes: list[str], console: Console) -> None:
    word, color = _WORDS.get(found.verdict, (found.verdict.upper(), "red"))
    console.print(word, style=f"bold {color}")
    for finding in found.findings:
        console.print(f"  {finding.fault:<14} {finding.sentence}")
    for gap in found.unknown:
        console.print(Text(f"  not measured   {gap}", style="yellow"), soft_wrap=True)
    console.print(f"do: {found.remedy}")
    if found.deploys:
        table = Table(
            "at (UTC)", "deploy", "before", "actor", "reason", title="deploys", title_justify="left"
        )
        for deploy in found.deploys[:DEPLOYS]:
            did = f"{deploy.action} {deploy.version}"
            at = f"{deploy.at:%Y-%m-%d %H:%M}"
            table.add_row(at, did, deploy.previous or "", deploy.actor, deploy.reason)
        console.print(table)
        if len(found.deploys) > DEPLOYS:
            console.print(
                f"the newest {DEPLOYS} of {len(found.deploys):,}; `linnet retraining ledger` shows the others"
            )
    if found.samples:
        table = Table("look at", "reason", title="samples", title_justify="left")
        for sample in found.samples:
            table.add_row(sample.name, sample.why)
        console.print(table)
    for note in (*notes, *symptoms.notes):
        console.print(f"not seen: {note}", style="yellow")
