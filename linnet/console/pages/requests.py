"""`/requests?id=ID`: one request, by its id or that of its image: what was answered, by which version, and why."""

from __future__ import annotations

from fastapi import FastAPI, Request
from nicegui import ui

from linnet.artifacts.onnx_model import PackagedModel
from linnet.console import shell
from linnet.console.context import Context, role_of
from linnet.console.markup import Html, join, link
from linnet.console.views import requests as view
from linnet.errors import LinnetError
from linnet.monitoring.request_lookup import ServedRequest, find_requests
from linnet.records.refused import quarantine_folder, refused_requests
from linnet.storage.paths import prediction_log_dir

PLACE = 10
MOST = 20
"""Answers that are shown; an image that is sent each minute has thousands."""


def register(context: Context, app: FastAPI) -> None:
    """Adds the page."""

    @ui.page("/requests", title="Request · Linnet")
    async def one(request: Request, id: str = "") -> None:
        wanted = id.strip()[:300]
        if wanted:
            ui.page_title(f"Request {wanted[:80]} · Linnet")
        with shell.frame("Monitoring", role_of(request)):
            about = "What was asked, what was answered, by which version, and what came back."
            shell.head("Request", about, link("Monitoring", "/monitoring"))
            shell.html(view.search(wanted))
            if wanted:
                await shell.shown(lambda: load(context, wanted), shell.html)


def load(context: Context, wanted: str) -> Html:
    """All that is known of an id."""
    log = prediction_log_dir()
    answered = find_requests(log, wanted)
    refused = [one for one, _ in refused_requests(quarantine_folder(log)) if one.request_id == wanted]
    if not answered and not refused:
        return view.unknown(wanted)
    shown = [view.answer(one, *_version(context, one)) for one in answered[:MOST]]
    return join([*shown, view.older(len(answered) - len(shown)), *(view.refusal(one) for one in refused)])


def _version(context: Context, request: ServedRequest) -> tuple[PackagedModel | None, str]:
    """The package that can read the answer, and the run of its version; None where it is not here."""
    try:
        version = context.sources.version(request.model, request.version)
        return context.packaged(context.sources.package(version)), version.tags.get("run", "")
    except LinnetError:
        return None, ""
