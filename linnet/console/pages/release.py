"""`/release`."""

from __future__ import annotations

from fastapi import Request
from nicegui import run, ui

from linnet.console import shell
from linnet.console.context import Context, role_of
from linnet.console.sources import Served
from linnet.console.views import release as view
from linnet.errors import LinnetError
from linnet.records import RolloutDecision

LOOK_SECONDS = 2.0
MOST = 20


def register(context: Context) -> None:
    """Adds the page."""

    @ui.page("/release", title="Release · Linnet")
    async def release(request: Request) -> None:
        with shell.frame("Release", role_of(request)):
            shell.head(
                "Release",
                "A candidate gets traffic step by step, and gives it back at once when the judge says no.",
            )
            await shell.shown(context.sources.served, lambda found: _live(context, found))
            await shell.shown(lambda: decisions(context), lambda found: shell.html(view.history(found)))


def _live(context: Context, served: Served) -> None:
    place = ui.element("section")
    with place:
        shown = shell.html(view.live(served))

    async def look() -> None:
        now = await run.io_bound(context.sources.served)
        if now is not None:
            shown.set_content(view.live(now))

    ui.timer(LOOK_SECONDS, look, immediate=False)


def decisions(context: Context) -> list[tuple[str, RolloutDecision]]:
    """Run and decision of the last releases, the newest first."""
    found = []
    for record in context.sources.runs():
        if not any(stage.task == "release" for stage in record.stages):
            continue
        try:
            rollout = context.sources.evidence(record.run_id).rollout
        except LinnetError:
            continue
        if rollout is not None and rollout.steps:
            found.append((record.run_id, rollout))
        if len(found) >= MOST:
            break
    return found
