"""`linnet rollout ...`: watch a release, and tell it what to do."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from linnet.commands.terminal import terminal
from linnet.deployment.bake_report import bake_report, bake_sentence
from linnet.deployment.journal import UNDER_WAY, Command
from linnet.deployment.rollout_commands import journal_of, order
from linnet.records import MetricJudgement
from linnet.registry.champion import current_actor

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

    After a promotion the champion is on trial (`release.bake_hours`): how it does stands below.

    Example:

      linnet rollout status
    """
    journal = journal_of(name)
    state = journal.read()
    console = terminal()
    phase = str(state["phase"])
    alive = phase not in UNDER_WAY or journal.is_held()
    against = f"against champion {state['champion']}" if state["champion"] else "with no champion before it"
    console.print(f"{state['model']} version {state['candidate']} {against}: {_PHASES.get(phase, phase)}")
    if not alive:
        console.print(
            "its process is gone, and its traffic goes back to the champion by itself: run the same command "
            "again to go on, or `linnet rollout abort` to end it",
            style="red",
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
    if (bake := bake_report(str(state["model"]))) is not None:
        console.print(bake_sentence(bake), highlight=False)
        console.print(_table(bake.judgements))


@app.command("approve")
def approve(name: Model = "", reason: Reason = "") -> None:
    """Let a rollout that waits for a person (`release.approval`) go on.

    Example:

      linnet rollout approve --reason "looked at 20 pictures"
    """
    _tell(name, "approve", reason)


@app.command("pause")
def pause(name: Model = "", reason: Reason = "") -> None:
    """Keep traffic as it is; the judge keeps looking, and still rolls back what is proven bad."""
    _tell(name, "pause", reason)


@app.command("resume")
def resume(name: Model = "", reason: Reason = "") -> None:
    """Let a paused rollout go on."""
    _tell(name, "resume", reason)


@app.command("abort")
def abort(name: Model = "", reason: Reason = "") -> None:
    """Give all traffic back to the champion and end the rollout, even one whose process is gone.

    Example:

      linnet rollout abort --reason "complaints about sandals"
    """
    _tell(name, "abort", reason)


def _tell(name: str, command: Command, reason: str) -> None:
    typer.echo(order(journal_of(name), command, current_actor(), reason))


def _table(judgements: tuple[MetricJudgement, ...]) -> Table:
    table = Table("metric", "verdict", "what is known")
    for item in judgements:
        table.add_row(item.metric, Text(item.verdict, _COLORS[item.verdict]), item.evidence)
    return table
