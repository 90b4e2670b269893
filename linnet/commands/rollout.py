"""`linnet rollout ...`: watch a release, and tell it what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from linnet.deployment.journal import UNDER_WAY, Journal
from linnet.errors import RolloutError
from linnet.files import file_name
from linnet.records import MetricJudgement
from linnet.registry.champion import current_actor
from linnet.state import server_state_file, state_dir

app = typer.Typer(help="Watch a rollout; approve, pause, resume or abort it.", no_args_is_help=True)

Model = Annotated[str, typer.Option("--name", help="The model's name; needed where there are several.")]
Reason = Annotated[str, typer.Option(help="Why; stands in the record of the rollout.")]
_COLORS = {"good": "green", "bad": "red", "unknown": "yellow"}
_PHASES = {
    "running": "under way",
    "paused": "paused; `linnet rollout resume` goes on",
    "waiting": "waits for `linnet rollout approve`",
    "promoting": "is being promoted",
    "returning": "is being rolled back",
    "promote": "promoted",
    "rollback": "rolled back",
    "inconclusive": "inconclusive, not promoted",
    "interrupted": "interrupted; traffic is with the champion",
}


@app.command("status")
def status(name: Model = "") -> None:
    """Show the step, the traffic and what the judge knows of the rollout under way, or of the last one.

    Example:

      linnet rollout status
    """
    journal = _journal(name)
    state = journal.read()
    console = Console()
    phase = str(state["phase"])
    alive = phase not in UNDER_WAY or journal.is_held()
    against = f"against champion {state['champion']}" if state["champion"] else "with no champion before it"
    console.print(f"{state['model']} version {state['candidate']} {against}: {_PHASES.get(phase, phase)}")
    if not alive:
        console.print(
            "its process is gone: run the same command again to go on, or `linnet rollout abort`", style="red"
        )
    if phase in UNDER_WAY:
        console.print(f"{state['percent']} % of the traffic, {state['total']:.0f} s of watching")
    for step in state.get("steps", []):
        console.print(
            f"  {step['percent']:>3} %  {step['seconds']:6.1f} s  {step['verdict']}: {step['reason']}"
        )
    looks = journal.looks()
    if looks:
        console.print(_table(looks[-1].judgements))


@app.command("approve")
def approve(name: Model = "", reason: Reason = "") -> None:
    """Let a rollout that waits for a person (`release.approval`) go on.

    Example:

      linnet rollout approve --reason "looked at 20 pictures"
    """
    journal = _journal(name)
    if journal.read()["phase"] != "waiting":
        raise RolloutError("no rollout waits for an approval: see `linnet rollout status`")
    _order(journal, "approve", reason)
    typer.echo("approved")


@app.command("pause")
def pause(name: Model = "", reason: Reason = "") -> None:
    """Keep traffic as it is; the judge keeps looking, and still rolls back what is proven bad."""
    _order(_journal(name), "pause", reason)
    typer.echo("paused")


@app.command("resume")
def resume(name: Model = "", reason: Reason = "") -> None:
    """Let a paused rollout go on."""
    _order(_journal(name), "resume", reason)
    typer.echo("goes on")


@app.command("abort")
def abort(name: Model = "", reason: Reason = "") -> None:
    """Give all traffic back to the champion and end the rollout, even one whose process is gone.

    Example:

      linnet rollout abort --reason "complaints about sandals"
    """
    journal = _journal(name)
    if journal.is_held():
        _order(journal, "abort", reason)
        typer.echo("the rollout gives traffic back to the champion")
        return
    state = journal.read()
    if state["phase"] not in UNDER_WAY:
        raise RolloutError("no rollout is under way: `linnet rollout status` shows how the last one ended")
    from linnet.deployment.embedded import give_back  # brings an HTTP client that the base install lacks

    with journal.held():
        served = give_back(server_state_file(), str(state["candidate"]))
        journal.settle("rollback")
    typer.echo("all traffic is with the champion" if served else "no server runs, so nobody has traffic")


def _order(journal: Journal, command: Any, reason: str) -> None:
    if not journal.is_held():
        raise RolloutError(
            "the rollout's process is gone: run the same command again to go on, or `linnet rollout abort`"
            if journal.read()["phase"] in UNDER_WAY
            else "no rollout is under way: `linnet rollout status` shows how the last one ended"
        )
    journal.give(command, current_actor(), reason)


def _journal(name: str) -> Journal:
    """The rollout of a model, or of the only one that has one."""
    folder = state_dir() / "rollouts"
    found = [folder / f"{file_name(name)}.json"] if name else sorted(folder.glob("*.json"))
    journals = [journal for journal in map(Journal, found) if journal.read()]
    if not journals:
        raise RolloutError("there has been no rollout here yet: `linnet run CONFIG` makes one")
    if len(journals) > 1:
        names = ", ".join(Path(journal.path).stem for journal in journals)
        raise RolloutError(f"which model? Give --name (known: {names})")
    return journals[0]


def _table(judgements: tuple[MetricJudgement, ...]) -> Table:
    table = Table("metric", "verdict", "what is known")
    for item in judgements:
        table.add_row(item.metric, f"[{_COLORS[item.verdict]}]{item.verdict}[/]", item.evidence)
    return table
