"""The console on a FastAPI app: pages, artifacts, and the gate around everything."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import FileResponse, PlainTextResponse, Response
from nicegui import ui

from linnet.console import abandoned_pages
from linnet.console.access import LOOPBACK, ConsoleAccess
from linnet.console.auth_middleware import AuthMiddleware
from linnet.console.content_security import nonces
from linnet.console.context import Context
from linnet.console.pages import page_modules
from linnet.console.pages.monitoring import SANDBOX
from linnet.console.shell import HEAD, add_to_navigation
from linnet.console.sources import console_dir
from linnet.console.theme import LOGO, STYLE
from linnet.errors import LinnetError
from linnet.storage.files import is_a_file

_STATIC = Path(__file__).parent / "static"
_ICON = (
    LOGO.replace("var(--accent)", "#1f5fae")
    .replace("var(--card)", "#fff")
    .replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ')
)


def add_console(
    app: FastAPI, hosts: frozenset[str] = LOOPBACK, context: Context | None = None
) -> ConsoleAccess:
    """Puts the console on `app`, at `/`; routes that the app has already come first.

    NiceGUI keeps its pages in the process, so a process has one console.

    Args:
        app: the engine's, or an empty one.
        hosts: the names under which the console may be reached.
        context: what its pages read; the local state folder's by default.

    Returns:
        The tokens that open it.
    """
    context = context or Context()
    context.warm()
    access = ConsoleAccess.of(console_dir() / "access.json")
    ui.add_head_html(f"<style>{STYLE}</style>{HEAD}", shared=True)
    for page in page_modules():
        page.register(context, app)
        if hasattr(page, "NAV"):
            add_to_navigation(page.NAV)
    _artifacts(app, context)
    _scripts(app)
    nonces()
    abandoned_pages.watch()
    ui.run_with(
        app,
        title="Linnet",
        favicon=_ICON,
        dark=None,
        language="en-US",
        tailwind=False,
        show_welcome_message=False,
        reconnect_timeout=10.0,
    )
    app.add_middleware(AuthMiddleware, access=access, hosts=hosts)
    return access


def _scripts(app: FastAPI) -> None:
    """Our own scripts are files: the pages have none inline."""

    @app.get("/console/{name}.js", include_in_schema=False)
    def script(name: str) -> Response:
        file = _STATIC / f"{name}.js"
        if name not in ("console", "try_it"):
            return PlainTextResponse("there is no such script", 404)
        return FileResponse(file, media_type="text/javascript; charset=utf-8")


def _artifacts(app: FastAPI, context: Context) -> None:
    @app.get("/artifacts/{run_id}/{index}/{path:path}", include_in_schema=False)
    def artifact(run_id: str, index: int, path: str) -> Response:
        """A page that a run wrote, and the files beside it."""
        try:
            pages = context.sources.evidence(run_id).pages
        except LinnetError as error:
            return PlainTextResponse(str(error), 404)
        if not 0 <= index < len(pages):
            return PlainTextResponse("the run has no such page", 404)
        folder = pages[index][1].parent.resolve()
        file = (folder / path).resolve()
        if not file.is_relative_to(folder) or not is_a_file(file):
            return PlainTextResponse("the run has no such file", 404)
        return FileResponse(file, headers=SANDBOX, media_type=_kind(file))


def _kind(file: Path) -> str | None:
    return "text/plain; charset=utf-8" if file.suffix == ".md" else None
