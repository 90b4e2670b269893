"""`/runs`, `/runs/new`, `/runs/ID` and `/compare`."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI, Request
from nicegui import run, ui

from linnet.console import settings_form, shell
from linnet.console.configs import Bases, read_bases
from linnet.console.context import Context, role_of
from linnet.console.curves import MOST
from linnet.console.markup import (
    Html,
    address,
    empty,
    facts,
    heading,
    join,
    left_out,
    link,
    problem,
    prose,
    tag,
)
from linnet.console.run_table import PAGE, Metrics, Row, TableQuery, chosen, offered
from linnet.console.views import comparison
from linnet.console.views import run_table as view
from linnet.errors import LinnetError
from linnet.records import RunRecord
from linnet.run.remarks import read_remarks
from linnet.run.runs import runs_dir
from linnet.statistics.catalog import BY_KEY

PLACE = 2
NAV = shell.NavItem(
    "Runs",
    "/runs",
    '<circle cx="5" cy="6" r="2.5"/><circle cx="19" cy="6" r="2.5"/><circle cx="12" cy="18" r="2.5"/><path d="M7.5 6h9M6.5 8l4 8M17.5 8l-4 8"/>',
)


def register(context: Context, app: FastAPI) -> None:
    """Adds the pages."""

    @ui.page("/runs", title="Runs · Linnet")
    async def listing(request: Request) -> None:
        query = TableQuery.parse(request.query_params.multi_items())
        with shell.frame("Runs", role_of(request)):
            with ui.element("div").classes("top"):
                shell.html(heading("Runs", "Each from its data to its release, and why it ended as it did."))
                if context.operator(request).may_act:
                    new = tag("a", "New run", href="/runs/new", class_="button primary")
                    shell.html(tag("div", new, class_="actions"))
            await shell.shown(lambda: _listed(context, query), shell.html)

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
                lambda: read_bases(context.sources.runs(), config),
                lambda found: _form(context, request, found, config),
            )

    @ui.page("/compare", title="Compare runs · Linnet")
    async def compare(request: Request, setting: str = "", metric: str = "") -> None:
        asked = request.query_params
        named = [*asked.getlist("run"), asked.get("a", ""), asked.get("b", "")]
        picked = list(dict.fromkeys(name for name in named if name))[:MOST]
        with shell.frame("Runs", role_of(request)):
            about = "Settings, metrics, curves, gates and confusions side by side, of two to ten runs."
            shell.head("Compare runs", about, link("Runs", "/runs"))
            await shell.shown(context.sources.runs, lambda found: _choose(found, picked))
            if len(picked) > 1:
                await shell.shown(
                    lambda: [context.sources.evidence(name) for name in picked],
                    lambda found: shell.html(comparison.compare(found, setting, metric)),
                )


def _listed(context: Context, query: TableQuery) -> Html:
    records, unread = context.sources.runs(), list(context.sources.unread_runs())
    rows: list[Row] = []
    for record in records:
        try:
            rows.append(Row(record, read_remarks(runs_dir() / record.run_id)))
        except LinnetError as error:
            unread.append(f"what was said of run {record.run_id}: {error}")
            rows.append(Row(record))
    titles = [metric.key for metric in BY_KEY.values() if metric.headline]
    columns = context.sources.kept.get(("columns", len(rows)), 30.0, lambda: offered(rows, titles))
    metrics = _metrics_of(context)
    found = chosen(rows, query, metrics)
    states = sorted({row.record.state for row in rows})
    page = found[query.page * PAGE : (query.page + 1) * PAGE]
    return join([left_out(unread), view.listing(page, len(found), query, columns, states, metrics)])


def _metrics_of(context: Context) -> Metrics:
    def of(run_id: str) -> dict[str, float]:
        try:
            report = context.sources.evidence(run_id).evaluation
        except LinnetError:
            return {}
        return {key: one.value for key, one in report.metrics.items()} if report else {}

    return of


def _choose(found: list[RunRecord], picked: list[str]) -> None:
    """One box that takes several: what is picked stands in the page's address, which can be sent."""
    names = {record.run_id: f"{record.run_id} · {record.state}" for record in found}

    def go(event: Any) -> None:
        wanted = [("run", str(name)) for name in event.value or []][:MOST]
        ui.navigate.to("/compare" + (f"?{urlencode(wanted)}" if wanted else ""))

    known = [name for name in picked if name in names]
    ui.select(names, label="Runs", value=known, multiple=True, with_input=True, on_change=go).props(
        "outlined dense use-chips"
    ).style("width:100%;margin-bottom:20px")


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
            label="Start from",
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
            run_id = await run.io_bound(context.operator(request).start_run, values, reason.value or "", base)
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
