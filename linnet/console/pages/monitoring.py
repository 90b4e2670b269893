"""`/monitoring`, the windows' reports and the runbooks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, PlainTextResponse, RedirectResponse, Response
from nicegui import ui

from linnet.console import shell
from linnet.console.context import Context, role_of
from linnet.console.markup import Html, address, empty, join, left_out, link, problem, section, tag
from linnet.console.production_status import Watched, examples, watched
from linnet.console.views import monitoring
from linnet.console.views import production as view
from linnet.console.views.requests import search
from linnet.console.views.retraining import retraining
from linnet.errors import LinnetError
from linnet.monitoring.history import history_folder
from linnet.records import DatasetManifest
from linnet.run import runs
from linnet.run.model_config import model_config
from linnet.storage.files import is_a_file

PLACE = 7
NAV = shell.NavItem("Monitoring", "/monitoring", '<path d="M3 12h4l3-8 4 16 3-8h4"/>')

SANDBOX = {
    "Content-Security-Policy": "sandbox allow-scripts allow-popups; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}
"""What a run or a window wrote may hold text from data: it runs in a page without an origin."""
_NAME = re.compile(r"[a-z0-9-]{1,40}")
_STAMP = re.compile(r"\d{8}T\d{6}")


def register(context: Context, app: FastAPI) -> None:
    """Adds the pages."""

    @ui.page("/monitoring", title="Monitoring · Linnet")
    async def monitored(request: Request, model: str = "") -> None:
        def read() -> tuple[Watched, dict[str, int], list[str]]:
            of = context.model(model)
            return watched(context, of), *trained_counts(context, of)

        with shell.frame("Monitoring", role_of(request)):
            shell.head("Monitoring", "Traffic, service levels and drift.")
            await shell.shown(read, lambda found: _draw(context, *found))
            await shell.shown(
                lambda: view.examples(examples(watched(context, context.model(model)))), shell.html
            )

    @ui.page("/runbooks/{name}", title="Runbook · Linnet")
    async def runbook(request: Request, name: str, model: str = "") -> Response | None:
        of = model if model in context.sources.models() else context.model()
        where = runbooks_of(context, of)
        if where.startswith(("http://", "https://")):
            return RedirectResponse(f"{where.rstrip('/')}/{name}.md")
        with shell.frame("Monitoring", role_of(request)):
            shell.head("Runbook", crumb=link("Monitoring", "/monitoring"))
            await shell.shown(lambda: _rendered(name, Path(where), of), shell.html)
        return None

    @app.get("/windows/{model}/{version}/{start}", include_in_schema=False)
    def window(model: str, version: str, start: str) -> Response:
        """The page of a monitored window."""
        file = history_folder(model, version) / start / "report.html"
        if not _STAMP.fullmatch(start) or not is_a_file(file):
            return PlainTextResponse("there is no such window", 404)
        return FileResponse(file, headers=SANDBOX)


def runbooks_of(context: Context, model: str) -> str:
    """The folder or address of a model's runbooks: `service_levels.runbooks`."""
    config = context.sources.kept.get(("model config", model), 30.0, lambda: model_config(model)).config
    return config.service_levels.runbooks


def _draw(context: Context, found: Watched, trained: dict[str, int], unread: list[str]) -> None:
    shell.html(shell.choice("/monitoring", found.model, context.sources.models()))
    shell.html(page(found, trained, unread))


def page(found: Watched, trained: dict[str, int], unread: Sequence[str] = ()) -> Html:
    """The whole page but its example images; `unread` is missing from it, and why."""
    costs = found.config
    return join(
        [
            *(problem(f"left out, so that defaults may judge: {why}") for why in found.broken_configs),
            left_out((*found.unread, *unread)),
            section("Alerts", view.alerts(found.alerts, found.model)),
            _part("objectives", "Service level objectives", view.objectives(found.objectives)),
            monitoring.page(found.log, trained),
            _part("requests", "One request", search("")),
            _part("refused", "Refused requests", view.refused(found)),
            _part("drift", "Drift", view.drift(found)),
            _part(
                "retraining",
                "Retraining",
                retraining(found.retraining, costs.cost.currency, costs.retraining.cost_per_month),
            ),
        ]
    )


def _part(anchor: str, title: str, content: Html) -> Html:
    return tag("section", tag("h2", title), content, id=anchor)


def _rendered(name: str, folder: Path, model: str) -> Html:
    """A runbook as a card; the folder is meant from here, or from where Linnet lies."""
    import markdown2

    places = [folder, Path(__file__).parents[3] / folder]
    file = next((place / f"{name}.md" for place in places if is_a_file(place / f"{name}.md")), None)
    if not _NAME.fullmatch(name) or file is None:
        return empty(
            "There is no such runbook here", f"It is looked for in {folder} (service_levels.runbooks)."
        )
    text = re.sub(
        r"\]\(([a-z-]+)\.md\)",
        lambda found: f"]({address('runbooks', found[1], model=model)})",
        file.read_text("utf-8"),
    )
    text = re.sub(r"\[([^]]+)\]\(\.\./[^)]*\)", r"\1", text)
    return tag("article", Html(markdown2.markdown(text, safe_mode="escape")), class_="card")


def trained_counts(context: Context, model: str) -> tuple[dict[str, int], list[str]]:
    """Training images a class of the champion's run, empty where that is not here; and why they lack."""
    unread: list[str] = []
    try:
        champion = context.sources.champion(model) if model else None
        evidence = context.sources.evidence_of(champion, unread) if champion else None
        samples = runs.artifact(evidence.folder, "ingest", "samples") if evidence else None
        manifest = DatasetManifest.load(samples / "manifest.json") if samples else None
    except LinnetError as error:
        return {}, [f"the classes of the training images: {error}"]
    return ({} if manifest is None else manifest.counts.get("train", {})), unread
