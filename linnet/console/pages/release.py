"""`/release`."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI, Request
from nicegui import run, ui

from linnet.console import shell
from linnet.console.context import Context, role_of
from linnet.console.markup import address, join, left_out
from linnet.console.sources import Canary, ServerStatus
from linnet.console.views import release as view
from linnet.deployment.bake_report import bake_report
from linnet.deployment.journal import Command
from linnet.errors import LinnetError
from linnet.records import RolloutDecision
from linnet.run import runs

PLACE = 5
NAV = shell.NavItem("Release", "/release", '<path d="M4 20V4M4 12h7c4 0 4-6 8-6M4 12h7c4 0 4 6 8 6"/>')

LOOK_SECONDS = 2.0
_ORDERS: dict[Command, tuple[str, str]] = {
    "approve": ("It goes on to its next step, and the judge keeps looking.", "primary"),
    "resume": ("It goes on from the step at which it was paused.", "primary"),
    "pause": ("Traffic stays as it is; what is proven bad is still rolled back.", ""),
    "abort": ("All traffic goes back to the champion at once, and the rollout ends.", "danger"),
}
"""What comes of each order, and how its button looks."""


def register(context: Context, app: FastAPI) -> None:
    """Adds the page."""

    @ui.page("/release", title="Release · Linnet")
    async def release(request: Request, model: str = "") -> None:
        with shell.frame("Release", role_of(request)):
            shell.head(
                "Release",
                "A candidate gets traffic step by step, and gives it back at once when the judge says no.",
            )
            await shell.shown(lambda: look(context, model), lambda found: _live(context, request, found))
            await shell.shown(
                lambda: bake_report(context.model(model)), lambda found: shell.html(view.trial(found))
            )
            await shell.shown(
                lambda: decisions(context, context.model(model)),
                lambda found: shell.html(join([left_out(found[1]), view.history(found[0])])),
            )


def look(context: Context, wanted: str) -> tuple[str, ServerStatus, Canary | None]:
    """A model, where its traffic goes, and its rollout under way."""
    model = context.model(wanted)
    return model, context.sources.served(model), context.sources.canary(model)


def _live(context: Context, request: Request, found: tuple[str, ServerStatus, Canary | None]) -> None:
    model, served, canary = found
    shell.html(shell.choice("/release", model, context.sources.models()))
    with ui.element("section"):
        shown = shell.html(view.live(served, canary))
    rollout = None if canary is None else _canary(context, request, canary)

    async def again() -> None:
        now = await run.io_bound(look, context, model)
        if now is None:
            return
        shown.set_content(view.live(*now[1:]))
        if (now[2] is None) != (rollout is None):  # one began, or came to its end
            timer.deactivate()
            ui.navigate.reload()
        elif now[2] is not None and rollout is not None:
            rollout(now[2])

    timer = ui.timer(LOOK_SECONDS, again, immediate=False)


def _canary(context: Context, request: Request, first: Canary) -> Callable[[Canary], None]:
    """Draws the rollout under way; returns what draws it anew."""
    with ui.element("section").classes("card"):
        shown = shell.html("")
        buttons = _orders(context, request, first.model) if context.operator(request).may_act else {}

    def draw(canary: Canary) -> None:
        shown.set_content(view.canary(canary))
        for command, button in buttons.items():
            button.set_visibility(command in allowed(canary))

    draw(first)
    return draw


def allowed(canary: Canary) -> tuple[Command, ...]:
    """What a person may tell a rollout as it stands."""
    if not canary.alive:
        return ("abort",)
    by_phase: dict[str, tuple[Command, ...]] = {
        "running": ("pause", "abort"),
        "waiting": ("approve", "pause", "abort"),
        "paused": ("resume", "abort"),
    }
    return by_phase.get(canary.phase, ())


def _orders(context: Context, request: Request, model: str) -> dict[Command, shell.Button]:
    """A button an order; each asks once more, and wants a reason."""

    def button(command: Command) -> shell.Button:
        def act(reason: str) -> str:
            context.operator(request).send_rollout_command(model, command, reason)
            return address("release", model=model)

        text, kind = _ORDERS[command]
        word = command.capitalize()
        ask = shell.confirm(f"{word} this canary?", text, word, act, danger=kind == "danger")
        return shell.Button(word, ask, kind)

    with ui.element("div").classes("actions").style("margin-top:16px"):
        return {command: button(command) for command in _ORDERS}


def decisions(context: Context, model: str) -> tuple[list[tuple[str, RolloutDecision]], list[str]]:
    """Run and decision of all releases of a model, the newest first; and why others are missing."""
    found: list[tuple[str, RolloutDecision]] = []
    unread: list[str] = []
    for record in context.sources.runs():
        try:
            if runs.artifact(runs.runs_dir() / record.run_id, "release", "rollout") is None:
                continue
            evidence = context.sources.evidence(record.run_id)
        except LinnetError as error:
            unread.append(f"the release of run {record.run_id}: {error}")
            continue
        rollout = evidence.rollout
        if rollout is None and record.model_name == model:
            unread += [
                f"run {record.run_id}: {why}" for why in evidence.unread if why.startswith("release: ")
            ]
        if rollout is not None and rollout.steps and rollout.model == model:
            found.append((record.run_id, rollout))
    return found, unread
