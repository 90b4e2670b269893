"""`/`."""

from __future__ import annotations

from fastapi import FastAPI, Request
from nicegui import ui

from linnet.console import shell
from linnet.console.alerts import unmeasured
from linnet.console.context import Context, model_of, role_of
from linnet.console.markup import address
from linnet.console.production_status import labelling as labels_of
from linnet.console.production_status import watched
from linnet.console.views import labelling
from linnet.console.views import overview as view
from linnet.console.views import production as watched_view

PLACE = 1
NAV = shell.NavItem("Overview", "/", '<path d="M3 11l9-8 9 8v9a1 1 0 0 1-1 1h-5v-7H9v7H4a1 1 0 0 1-1-1z"/>')

OWN = ("down", "not-serving", "rollout")
"""Runbooks of what the overview says in its own words."""


def register(context: Context, app: FastAPI) -> None:
    """Adds the pages."""

    @ui.page("/", title="Overview · Linnet")
    async def overview(request: Request, model: str = "") -> None:
        with shell.frame("Overview", role_of(request)):
            shell.head("Overview", "Is all well, and what needs a person now?")
            await shell.shown(
                lambda: (load(context, model), context.sources.models()), lambda found: _draw(*found)
            )


def _draw(found: view.Overview, models: list[str]) -> None:
    shell.html(shell.choice("/", found.model, models))
    shell.html(view.page(found))


def load(context: Context, wanted: str) -> view.Overview:
    """Everything that the overview shows."""
    sources = context.sources
    model = context.model(wanted)
    versions = sources.versions(model) if model else []
    promoted = (
        next((e.at for e in sources.ledger(model) if e.action in ("promote", "rollback")), None)
        if model
        else None
    )
    seen = watched(context, model)
    labels = labels_of(context, seen.config.name)
    return view.Overview(
        model=model,
        champion=next((v for v in versions if "champion" in v.aliases), None),
        challenger=next((v for v in versions if "challenger" in v.aliases), None),
        promoted_at=promoted,
        served=sources.served(model),
        log=seen.log,
        runs=[run for run in sources.runs() if model_of(run) in (model, "")],
        canary=sources.canary(model),
        extra_needs=(
            *(view.Need("warn", "A config is left out", why, "/monitoring") for why in seen.broken_configs),
            *(view.Need("warn", "A record cannot be read", why, "/monitoring") for why in seen.unread),
            *(
                view.Need(
                    "bad" if alert.severity == "page" else "warn",
                    alert.name,
                    alert.summary,
                    address("runbooks", alert.runbook, model=model),
                )
                for alert in seen.alerts
                if alert.firing and alert.runbook not in OWN
            ),
        ),
        unmeasured=unmeasured(seen.alerts),
        extra_tiles=(
            watched_view.budget_tile(seen),
            watched_view.drift_tile(seen),
            labelling.tile_of(labels),
        ),
    )
