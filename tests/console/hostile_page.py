"""A console whose registry was given hostile names: `python -m tests.console.hostile_page PORT NAME TOKENS`."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request
from nicegui import ui

from linnet.console import shell
from linnet.console.app import add_console
from linnet.console.context import role_of
from linnet.console.markup import address, chip, empty, facts, heading, link, prose, table


def main(port: int, name: str, tokens: Path) -> None:
    """Serves the console and `/hostile`, which puts the name into every piece that pages are made of."""
    app = FastAPI()

    @ui.page("/hostile")
    async def hostile(request: Request) -> None:
        with shell.frame("Models", role_of(request)):
            shell.head(name, name, link(name, address("models", name)))
            shell.html(table([name], [[name]], name))
            shell.html(facts([(name, chip(name))]))
            shell.html(empty(name, name) + prose(name) + heading(name))
            shell.Button(name, shell.confirm(f"Promote {name} 1?", name, name, lambda reason: "/"))

    access = add_console(app)
    tokens.write_text(access.operator)
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
