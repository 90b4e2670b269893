"""`linnet retraining ...`: what the policy decided, why, and what came of it."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from linnet.commands.chosen_config import ModelName, OptionalConfig, chosen_config
from linnet.commands.reason import Reason, given
from linnet.commands.terminal import terminal
from linnet.config import Config
from linnet.errors import RetrainingError
from linnet.records import RetrainingDecision, RetrainingEntry, now
from linnet.retraining.ledger import RetrainingLedger
from linnet.retraining.policy import DAY, MONTH

app = typer.Typer(help="See why a model was retrained, or was not.", no_args_is_help=True)


@app.command("why")
def why(config: OptionalConfig = None, name: ModelName = "") -> None:
    """Show the newest decision with every condition: what was found, and what was needed.

    Example:

      linnet retraining why
    """
    ledger = _ledger(chosen_config(config, name))
    if ledger.newest is None:
        raise RetrainingError(
            f"nothing was decided about {ledger.model} yet: monitoring and alerts ask the policy, "
            "and so does `linnet retraining check`"
        )
    _show(ledger.newest, terminal())


@app.command("check")
def check(
    config: OptionalConfig = None,
    name: ModelName = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide, and neither write nor submit.")] = False,
) -> None:
    """Ask the policy now; if it says yes, a training run is submitted.

    Monitoring and alerts ask it in the same way. Exit status 0 if a run was asked for, 3 if not.

    Examples:

      linnet retraining check --dry-run

      linnet retraining check --name fashion
    """
    from linnet.automation.retraining import submit_for_model
    from linnet.registry.champion import current_actor
    from linnet.retraining.wiring import trigger_of

    loaded = chosen_config(config, name)
    decision = trigger_of(loaded).decide("person", current_actor(), dry_run)
    _show(decision, terminal())
    problems = {} if dry_run else submit_for_model(loaded.model_name)
    if problems:
        raise RetrainingError(
            f"the run that was asked for is not submitted yet: {'; '.join(problems.values())}; "
            "ask again with `linnet retraining check`: it is submitted once"
        )
    raise typer.Exit(0 if decision.request else 3)


@app.command("status")
def status(config: OptionalConfig = None, name: ModelName = "") -> None:
    """Show the budget, the cool-down, the breaker, and the run that is under way.

    Example:

      linnet retraining status
    """
    loaded, at = chosen_config(config, name), now()
    ledger, settings = _ledger(loaded), loaded.retraining
    history = ledger.history()
    table = Table("what", "now", "limit", title=f"retraining of {ledger.model}", title_justify="left")
    under_way = [run.submitted.run_id if run.submitted else run.key for run in ledger.runs if not run.ended]
    table.add_row("runs under way", ", ".join(under_way) or "none", "1")
    table.add_row("runs in 24 hours", str(history.asked_since(at - DAY)), str(settings.runs_per_day))
    table.add_row(
        "cost in 30 days", f"{history.spent(at - MONTH, settings):g}", f"{settings.cost_per_month:g}"
    )
    hours = f"{(at - history.last).total_seconds() / 3600:.1f} h ago" if history.last else "never"
    table.add_row("last run asked for", hours, f"{settings.cooldown_hours:g} h cool-down")
    opened = "open" if history.failures >= settings.breaker_failures else "closed"
    table.add_row(
        "breaker", f"{opened}, {history.failures} failures in a row", f"{settings.breaker_failures}"
    )
    table.add_row("decisions", f"{ledger.decisions['yes']} yes, {ledger.decisions['no']} no", "")
    table.add_row("policy", "on" if settings.enabled else "off", "")
    terminal().print(table)


@app.command("ledger")
def ledger_command(
    config: OptionalConfig = None,
    name: ModelName = "",
    limit: Annotated[int, typer.Option(min=1, help="How many lines to show, the newest last.")] = 20,
    everything: Annotated[bool, typer.Option("--all", help="Show decisions that said no, too.")] = False,
) -> None:
    """Show the ledger's newest lines; its whole chain is verified first.

    Example:

      linnet retraining ledger --all
    """
    ledger = _ledger(chosen_config(config, name))
    entries = ledger.entries()
    shown = [e for e in entries if everything or not (e.decision and not e.decision.request)]
    table = Table("at (UTC)", "event", "run", "actor", "reason")
    for entry in shown[-limit:]:
        table.add_row(
            f"{entry.at:%Y-%m-%d %H:%M:%S}", _what(entry), entry.run_id or entry.key, entry.actor,
            entry.decision.reason if entry.decision else entry.reason,
        )  # fmt: skip
    console = terminal()
    console.print(table)
    hidden, older = len(entries) - len(shown), max(len(shown) - limit, 0)
    rest = f"; {hidden} that said no are not shown" if hidden else ""
    rest += f"; {older} older ones are not shown (--limit)" if older else ""
    console.print(f"{len(entries)} lines of {ledger.path}, all as they were written{rest}")


@app.command("reset-breaker")
def reset(config: OptionalConfig = None, reason: Reason = "", name: ModelName = "") -> None:
    """Let retraining go on after failures in a row, once somebody has looked at them.

    Example:

      linnet retraining reset-breaker --reason "a bad label batch, withdrawn"
    """
    from linnet.registry.champion import current_actor
    from linnet.retraining.breaker import reset_breaker

    failures = reset_breaker(_ledger(chosen_config(config, name)), current_actor(), given(reason))
    typer.echo(f"the breaker is closed; {failures} failure(s): count reset")


def _ledger(config: Config) -> RetrainingLedger:
    ledger = RetrainingLedger(config.model_name)
    ledger.refresh()
    return ledger


def _what(entry: RetrainingEntry) -> str:
    if entry.decision is not None:
        return "yes" if entry.decision.request else "no"
    return f"{entry.kind} {entry.state}".strip()


def _show(decision: RetrainingDecision, console: Console) -> None:
    color = "green" if decision.request else "yellow"
    verdict = "a run was asked for" if decision.request else "no run"
    when = f" at {decision.at:%Y-%m-%d %H:%M:%S} UTC, asked by {decision.source}"
    console.print(Text.assemble((verdict, f"bold {color}"), when))
    console.print(decision.reason)
    table = Table("condition", "met", "found")
    for condition in decision.conditions:
        table.add_row(
            condition.name, Text("yes", "green") if condition.met else Text("no", "red"), condition.detail
        )
    console.print(table)
