"""`/runs`, `/runs/new`, `/runs/ID` and `/compare`."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from nicegui import run, ui

from linnet.console import settings_form, shell
from linnet.console.configs import Bases, read_bases
from linnet.console.context import Context, role_of
from linnet.console.markup import (
    address,
    empty,
    facts,
    heading,
    join,
    left_out,
    link,
    pager,
    problem,
    prose,
    tag,
)
from linnet.console.views import comparison, overview
from linnet.errors import LinnetError
from linnet.records import RunRecord

PLACE = 2
NAV = shell.NavItem(
    "Runs",
    "/runs",
    '<circle cx="5" cy="6" r="2.5"/><circle cx="19" cy="6" r="2.5"/><circle cx="12" cy="18" r="2.5"/><path d="M7.5 6h9M6.5 8l4 8M17.5 8l-4 8"/>',
)

PAGE = 25
OFFERED = 200
"""Runs that the comparison offers."""


def register(context: Context, app: FastAPI) -> None:
    """Adds the pages."""

    @ui.page("/runs", title="Runs · Linnet")
    async def listing(request: Request, page: int = 0, state: str = "") -> None:
        with shell.frame("Runs", role_of(request)):
            with ui.element("div").classes("top"):
                shell.html(heading("Runs", "Each from its data to its release, and why it ended as it did."))
                links = [tag("a", "Compare two", href="/compare", class_="button")]
                if context.operator(request).may_act:
                    links.append(tag("a", "New run", href="/runs/new", class_="button primary"))
                shell.html(tag("div", *links, class_="actions"))
            await shell.shown(
                lambda: (context.sources.runs(), context.sources.unread_runs()),
                lambda found: _list(*found, max(page, 0), state),
            )

    @ui.page("/runs/new", title="New run · Linnet")
    async def new(request: Request, config: str = "") -> None:
        with shell.frame("Runs", role_of(request)):
            shell.head(
                "New run", "The training pipeline with settings of your choice.", link("Runs", "/runs")
            )
            if not context.operator(request).may_act:
                shell.html(problem("Viewers cannot start runs: log in with the operator's token."))
                return
            await shell.shown(
                lambda: read_bases(context.sources.runs()),
                lambda found: _form(context, request, found, config),
            )

    @ui.page("/compare", title="Compare runs · Linnet")
    async def compare(request: Request, a: str = "", b: str = "") -> None:
        with shell.frame("Runs", role_of(request)):
            shell.head(
                "Compare two runs", "Settings, metrics, gates and curves side by side.", link("Runs", "/runs")
            )
            await shell.shown(context.sources.runs, lambda found: _choose(found, a, b))
            if a and b:
                await shell.shown(
                    lambda: (context.sources.evidence(a), context.sources.evidence(b)),
                    lambda both: shell.html(comparison.compare(*both)),
                )


def _list(found: list[RunRecord], unread: list[str], page: int, state: str) -> None:
    states = ["", *sorted({record.state for record in found})]
    tabs = [
        tag(
            "a",
            name.capitalize() or "All",
            href=address("runs", state=name) if name else "/runs",
            aria_current="page" if name == state else None,
        )
        for name in states
    ]
    shown = [record for record in found if state in ("", record.state)]
    part = shown[page * PAGE : (page + 1) * PAGE]
    table = (
        overview.runs_table(part)
        if part
        else empty("No runs here", "`linnet run configs/fashion.toml` starts one, and so does New run.")
    )
    target = address("runs", state=state) if state else "/runs"
    shell.html(
        join(
            [
                left_out(unread),
                tag("nav", *tabs, class_="tabs", aria_label="State"),
                table,
                pager(page, PAGE, len(shown), target),
            ]
        )
    )


def offered(found: list[RunRecord], a: str, b: str) -> tuple[dict[str, str], str]:
    """The runs to choose from, and what to say of the others; `a` and `b` are among them."""
    among = [*found[:OFFERED], *(record for record in found[OFFERED:] if record.run_id in (a, b))]
    told = f"Offered are the newest {OFFERED} of {len(found):,} runs; /compare?a=ID&b=ID takes any."
    names = {record.run_id: f"{record.run_id} · {record.state}" for record in among}
    return names, told if len(found) > OFFERED else ""


def _choose(found: list[RunRecord], a: str, b: str) -> None:
    names, told = offered(found, a, b)
    if told:
        shell.html(tag("p", told, class_="soft small"))
    with ui.element("section").classes("grid two"):
        for label, chosen, other, first in (("Run A", a, b, True), ("Run B", b, a, False)):

            def go(event: Any, other: str = other, first: bool = first) -> None:
                left, right = (event.value, other) if first else (other, event.value)
                ui.navigate.to(address("compare", a=left or "", b=right or ""))

            ui.select(
                names, label=label, value=chosen if chosen in names else None, with_input=True, on_change=go
            ).props("outlined dense").style("width:100%")


def _form(context: Context, request: Request, read: Bases, chosen: str) -> None:
    found = {name: config.values() for name, config in read.configs.items()}
    shell.html(left_out(read.left_out))
    if not found:
        shell.html(
            empty("No config here", "`linnet init NAME --data FOLDER` writes one for your own images.")
        )
        return
    base = chosen if chosen in found else next(iter(found))
    given: dict[str, Any] = {}
    said = shell.html("")
    with ui.element("section").classes("card"):
        ui.select(
            list(found),
            label="Begin with",
            value=base,
            on_change=lambda e: ui.navigate.to(address("runs", "new", config=e.value)),
        ).props("outlined dense").style("width:100%;margin-bottom:14px")
        reason = ui.input("Why do you run it?").props("outlined dense").style("width:100%")
    with ui.element("section").classes("card"):
        for name in settings_form.sections():
            _section(name, found[base], given)

    async def go() -> None:
        values = settings_form.changed(found[base], given)
        button.disable()
        try:
            run_id = await run.io_bound(context.operator(request).start_run, values, reason.value or "")
        except LinnetError as error:
            said.set_content(problem(str(error)))
            ui.run_javascript("scrollTo({top: 0})")
            button.enable()
        else:
            ui.navigate.to(address("runs", run_id))

    button = shell.Button("Start the run", go, "primary")


def _section(name: str, values: dict[str, Any], given: dict[str, Any]) -> None:
    """A section that draws its fields when it is opened: eighty at once would be slow."""
    with ui.expansion(name.replace("_", " ").capitalize(), value=False).style("width:100%") as expansion:
        place = ui.element("div").style("padding:12px 0;width:100%")

    def fill() -> None:
        if expansion.value and not place.default_slot.children:
            with place:
                for field in settings_form.fields(name, values):
                    _field(field, given)

    expansion.on_value_change(fill)


def _field(field: settings_form.Field, given: dict[str, Any]) -> None:
    def keep(event: Any) -> None:
        given[field.key] = settings_form.parse(field, event.value)

    label = field.name.replace("_", " ").replace(".", ": ").capitalize()
    if field.reaches:  # and `Operator.start_run` refuses another value, whatever a browser sends
        shell.html(facts([(label, str(field.value) or "–")]))
        shell.html(tag("p", prose(field.help), " Set in the config's file.", class_="soft small"))
        return
    if field.kind == "switch":
        ui.switch(label, value=bool(field.value), on_change=keep)
    else:
        if field.kind == "choice":
            made: Any = ui.select(list(field.choices), label=label, value=str(field.value), on_change=keep)
        else:
            text = ", ".join(map(str, field.value)) if field.kind == "list" else str(field.value)
            made = ui.input(label, value=text, on_change=keep)
        made.props("outlined dense stack-label").style("width:100%;max-width:560px")
    shell.html(tag("p", prose(field.help), class_="soft small", style="margin:4px 0 18px"))
