"""`/` and `/monitoring`."""

from __future__ import annotations

from fastapi import Request
from nicegui import ui

from linnet.console import shell
from linnet.console.context import Context, role_of
from linnet.console.prediction_log import LogSummary
from linnet.console.views import monitoring
from linnet.console.views import overview as view
from linnet.errors import LinnetError


def register(context: Context) -> None:
    """Adds the pages."""

    @ui.page("/", title="Overview · Linnet")
    async def overview(request: Request, model: str = "") -> None:
        with shell.frame("Overview", role_of(request)):
            shell.head("Overview", "Is all well, and what needs a person now?")
            await shell.shown(lambda: load(context, model), lambda found: shell.html(view.page(found)))

    @ui.page("/monitoring", title="Monitoring · Linnet")
    async def monitored(request: Request) -> None:
        def read() -> tuple[LogSummary, dict[str, int]]:
            return context.log.summary(), trained_counts(context)

        with shell.frame("Monitoring", role_of(request)):
            shell.head("Monitoring", "What production asks, and how it is answered.")
            await shell.shown(read, lambda found: shell.html(monitoring.page(*found)))


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
    return view.Overview(
        model=model,
        champion=next((v for v in versions if "champion" in v.aliases), None),
        challenger=next((v for v in versions if "challenger" in v.aliases), None),
        promoted_at=promoted,
        served=sources.served(),
        log=context.log.summary(),
        runs=sources.runs(),
        canary=sources.canary(),
    )


def trained_counts(context: Context) -> dict[str, int]:
    """Training images a class of the champion's run; empty where that is not here."""
    from linnet import runs
    from linnet.records import DatasetManifest

    try:
        model = context.model()
        champion = context.sources.champion(model) if model else None
        evidence = context.sources.evidence_of(champion) if champion else None
        samples = runs.artifact(evidence.folder, "ingest", "samples") if evidence else None
        return DatasetManifest.load(samples / "manifest.json").counts.get("train", {}) if samples else {}
    except LinnetError:
        return {}
