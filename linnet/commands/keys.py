"""`linnet keys ...`: API keys of the server."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from linnet.commands.terminal import terminal
from linnet.serving.keys import KeyFile, Scope
from linnet.storage.paths import api_keys_file

app = typer.Typer(help="API keys of the server: make, list, revoke.", no_args_is_help=True)


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="What or whom the key is for.")],
    scope: Annotated[
        list[str] | None, typer.Option(help="infer or admin; several times for both. Default: infer.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="Requests a second that it may send; default: no limit.")
    ] = None,
) -> None:
    """Make a key and show it, once: only its digest is kept. A running server takes it within a second.

    Send it as `Authorization: Bearer KEY`. Inference asks for keys where `serving.require_key` is set.

    Examples:

      linnet keys create webshop --rate 200

      linnet keys create release-bot --scope admin
    """
    scopes: list[Scope] = []
    for given in scope or ["infer"]:
        if given not in ("infer", "admin"):
            raise typer.BadParameter(f"{given!r} is no scope: infer or admin", param_hint="--scope")
        scopes.append("infer" if given == "infer" else "admin")
    key, secret = KeyFile(api_keys_file()).create(name, tuple(dict.fromkeys(scopes)), rate)
    typer.echo(secret)
    terminal(stderr=True).print(f"key {key.id} for {name}: {', '.join(key.scopes)}; it is not shown again")


@app.command("list")
def list_keys() -> None:
    """List keys: what they are for and may do. The keys themselves are not kept.

    Example:

      linnet keys list
    """
    table = Table("id", "name", "scopes", "requests/s", "made (UTC)", "revoked (UTC)")
    for key in KeyFile(api_keys_file()).read():
        made = f"{key.created_at:%Y-%m-%d %H:%M}"
        revoked = f"{key.revoked_at:%Y-%m-%d %H:%M}" if key.revoked_at else ""
        rate = f"{key.rate:g}" if key.rate is not None else "any"
        table.add_row(key.id, key.name, ", ".join(key.scopes), rate, made, revoked)
    terminal().print(table)


@app.command("revoke")
def revoke(
    number: Annotated[str, typer.Argument(metavar="ID", help="As `linnet keys list` shows it.")],
) -> None:
    """Take a key's rights away, at once and for good; a running server follows within a second.

    Example:

      linnet keys revoke 1a2b3c4d
    """
    key = KeyFile(api_keys_file()).revoke(number)
    typer.echo(f"key {key.id} ({key.name}) is revoked")
