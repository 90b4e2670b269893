"""What the server says of itself to people: `/`, `/docs` and `/openapi.json`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from linnet import __version__
from linnet.pages.document import document
from linnet.pages.palette import ROOT

HTML = "text/html; charset=utf-8"
_STYLE = (
    ROOT
    + """body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:900px;margin:0 auto;padding:24px 16px 60px}a{color:var(--accent)}
pre{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:10px 14px;overflow-x:auto}
dt{margin-top:14px;overflow-wrap:anywhere}dd{margin:2px 0 0;color:var(--soft)}"""
)
_HOST = re.compile(r"[\w.-]+(:\d+)?|\[[0-9a-fA-F:.]+\](:\d+)?")
NO_SCRIPT = (
    "content-security-policy",
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
)


@cache
def openapi() -> bytes:
    """The description of every route, OpenAPI 3.1, as JSON."""
    return Path(__file__).with_name("openapi.json").read_bytes()


def summary(models: Sequence[str]) -> dict[str, Any]:
    """What this is, for a program."""
    return {
        "name": "linnet",
        "version": __version__,
        "what": "a model server: images in, predictions out (Open Inference Protocol v2, and plain uploads)",
        "models": list(models),
        "docs": "/docs",
        "openapi": "/openapi.json",
    }


def address(headers: Mapping[str, str]) -> str:
    """Where the reader reached this server, by the name they used; what is no name is not repeated."""
    host = headers.get("host", "")
    scheme = "https" if headers.get("x-forwarded-proto") == "https" else "http"
    return f"{scheme}://{host if _HOST.fullmatch(host) else 'localhost'}"


def examples(server: str, models: Sequence[str]) -> list[tuple[str, str]]:
    """What to type, and what it does: for a server at `server` with these models."""
    name = next(iter(models), "NAME")
    predict = f"{server}/predict" + (f"/{name}" if len(models) != 1 else "")
    return [
        ("An image", f"curl -s -F file=@image.png {predict}"),
        ("Several images in one request", f"curl -s -F file=@one.png -F file=@two.png {predict}"),
        ("An image as the body", f"curl -s --data-binary @image.png {predict}"),
        ("What a model takes: size, color, features, classes", f"curl -s {server}/v2/models/{name}"),
        ("Whether it answers", f"curl -s {server}/v2/health/ready"),
        ("Metrics, for Prometheus", f"curl -s {server}/metrics"),
    ]


def page(server: str, models: Sequence[str]) -> str:
    """What this is, for a person: models, examples that work as they are, and every route."""
    served = ", ".join(escape(name) for name in models) or "none yet"
    shown = "".join(
        f"<h3>{escape(title)}</h3><pre>{escape(line)}</pre>" for title, line in examples(server, models)
    )
    routes = "".join(
        f"<dt><b>{escape(method.upper())}</b> <code>{escape(path)}</code></dt><dd>{escape(_told(route))}</dd>"
        for path, methods in sorted(json.loads(openapi())["paths"].items())
        for method, route in methods.items()
        if method in ("get", "post", "put", "delete")
    )
    body = (
        f"<main><h1>Linnet's model server</h1><p>Images in, predictions out. Models: <b>{served}</b>.</p>"
        f"<h2>Try</h2>{shown}<h2>Every route</h2>"
        '<p><a href="/openapi.json">openapi.json</a> describes them for programs. '
        f"Each error is <code>{{&quot;error&quot;: words}}</code>.</p><dl>{routes}</dl></main>"
    )
    return document("Linnet's model server", _STYLE, body)


def _told(route: dict[str, Any]) -> str:
    """A route in a line: its summary, or else what it answers."""
    answers: dict[str, Any] = route.get("responses", {})
    return str(route.get("summary") or answers.get("200", {}).get("description") or "")
