"""`linnet models ...`: versions, their evidence, and moving the champion by hand."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from linnet.commands.reason import Reason, given
from linnet.commands.terminal import terminal
from linnet.config import RegistryConfig
from linnet.deployment.rollout_commands import end_under_way
from linnet.registry.champion import ModelRegistry, current_actor
from linnet.registry.connect import chosen_model, connect
from linnet.serving.champion_traffic import ServerTraffic

app = typer.Typer(help="Look at model versions; promote or roll back by hand.", no_args_is_help=True)

Model = Annotated[str, typer.Option("--name", help="The model's name; needed where there are several.")]
Version = Annotated[str, typer.Argument(help="The version's number, as `linnet models list` shows it.")]
Tracking = Annotated[str, typer.Option(help="MLflow tracking URI; empty: the one of this machine.")]


@app.command("list")
def list_versions(name: Model = "", tracking_uri: Tracking = "") -> None:
    """List versions, the newest first, with their aliases and accuracy."""
    registry = _registry(tracking_uri)
    table = Table("model", "version", "aliases", "accuracy", "commit", "registered (UTC)")
    for model in [name] if name else registry.store.models():
        for version in registry.versions(model):
            accuracy = version.metrics.get("accuracy")
            table.add_row(
                version.name,
                version.version,
                ", ".join(version.aliases),
                f"{accuracy:.4f}" if accuracy is not None else "",
                version.tags.get("commit", "")[:12],
                f"{version.created_at:%Y-%m-%d %H:%M}",
            )
    terminal().print(table)


@app.command("show")
def show(version: Version, name: Model = "", tracking_uri: Tracking = "") -> None:
    """Show one version: tags, metrics, where its evidence lies, and its lines in the ledger."""
    registry = _registry(tracking_uri)
    found = registry.version(chosen_model(registry, name), version)
    console = terminal()
    table = Table("what", "value", title=f"{found.name} version {found.version}", title_justify="left")
    for key, value in sorted(found.tags.items()):
        table.add_row(key, value)
    for metric, number in sorted(found.metrics.items()):
        table.add_row(metric, f"{number:.4f}")
    table.add_row("package", str(registry.package_folder(found)))
    console.print(table)
    ledger = Table("at (UTC)", "actor", "action", "before", "reason", title="ledger", title_justify="left")
    for entry in registry.ledger.entries(found.name):
        if version in (entry.version, entry.previous):
            did = f"{entry.action} {entry.version}"
            at = f"{entry.at:%Y-%m-%d %H:%M:%S}"
            ledger.add_row(at, entry.actor, did, entry.previous or "", entry.reason)
    console.print(ledger)


@app.command("promote")
def promote(version: Version, reason: Reason = "", name: Model = "", tracking_uri: Tracking = "") -> None:
    """Make a version the champion without a canary; the ledger records who and why.

    A rollout that is under way is ended first.

    Example:

      linnet models promote 3 --reason "the canary's traffic was broken, checked by hand"
    """
    registry = _registry(tracking_uri)
    model = chosen_model(registry, name)
    registry.version(model, version)  # says so before a reason is asked for
    champion = registry.champion(model)
    reason = given(reason)
    _end_rollout(model, reason)
    registry.promote(model, version, champion.version if champion else None, override=reason)
    typer.echo(f"{model} version {version} is the champion")


@app.command("rollback")
def rollback(reason: Reason = "", name: Model = "", tracking_uri: Tracking = "") -> None:
    """Give the alias, and the traffic of a running server, back to the champion before this one.

    A rollout that is under way is ended first, also one whose process is gone. To end a rollout alone, and
    leave the champion as it is: `linnet rollout abort`. What is taken away here does not come back by itself:
    see `linnet models allow`.

    Example:

      linnet models rollback --reason "complaints about sandals"
    """
    registry = _registry(tracking_uri)
    model = chosen_model(registry, name)
    registry.earlier_champion(model)  # says that there is none before anything is aborted
    reason = given(reason)
    _end_rollout(model, reason)
    version = registry.rollback(model, reason)
    typer.echo(f"{model} version {version.version} is the champion again")


@app.command("allow")
def allow(version: Version, reason: Reason = "", name: Model = "", tracking_uri: Tracking = "") -> None:
    """Let a version that was rolled back be released again; the ledger records who and why.

    A rollback is for good otherwise: neither that version nor the same model under another number is
    released by a run.

    Example:

      linnet models allow 3 --reason "the complaints were about another shop"
    """
    registry = _registry(tracking_uri)
    model = chosen_model(registry, name)
    if not registry.blocked(model, version):
        raise typer.BadParameter(f"version {version} was not rolled back: it needs no permission")
    registry.allow(model, version, given(reason))
    typer.echo(f"{model} version {version} may be released again: the next run's canary decides")


def _end_rollout(model: str, reason: str) -> None:
    if ended := end_under_way(model, current_actor(), reason):
        typer.echo(ended)


def _registry(tracking_uri: str) -> ModelRegistry:
    return connect(RegistryConfig(tracking_uri=tracking_uri), traffic=ServerTraffic())
