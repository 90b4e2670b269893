"""Every route of the console as an OpenAPI description on standard output: `python -m tests.console.described`."""

from __future__ import annotations

import json
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from nicegui import core

from linnet.console.app import add_console


def description() -> dict[str, Any]:
    """The console's own routes, its pages, and those of the framework below them."""
    app = FastAPI()
    add_console(app)
    routes = [route for route in (*app.routes, *core.app.routes) if isinstance(route, APIRoute)]
    for route in routes:
        route.include_in_schema = True
    spec: dict[str, Any] = get_openapi(title="console", version="1", routes=routes)
    return spec


if __name__ == "__main__":
    print(json.dumps(description()))
