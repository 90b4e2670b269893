"""The reason that a person gives for a change: asked for at a terminal, never by a command in a script."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

Reason = Annotated[str, typer.Option("--reason", help="Why; recorded in the ledger. A terminal asks for it.")]


def given(reason: str) -> str:
    """The reason, asked for if need be; call it once all else is known to be right.

    Raises:
        typer.BadParameter: there is none, and nobody to ask.
    """
    if reason.strip():
        return reason.strip()
    if not sys.stdin.isatty():
        raise typer.BadParameter("say why: it is recorded in the ledger", param_hint="--reason")
    return str(typer.prompt("Reason"))
