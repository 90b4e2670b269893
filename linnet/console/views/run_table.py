"""The table of runs: search, columns, order, and the runs to compare. Records in, markup out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from linnet.console.markup import Html, address, chip, empty, join, link, pager, prose, tag, when
from linnet.console.run_table import FACTS, METRIC, PAGE, RESULT, Metrics, Row, TableQuery, value
from linnet.console.views.overview import result
from linnet.pages.numbers import duration, money

_TITLES = {"took": "Took", "result": "Result"}
_NUMBERS = ("took", "cost")


def listing(
    rows: Sequence[Row],
    total: int,
    query: TableQuery,
    columns: dict[str, list[str]],
    states: Sequence[str],
    metrics: Metrics,
) -> Html:
    """One page of the table, with what a reader may ask of it; `total`: the runs that fit."""
    tabs = [
        tag(
            "a",
            name.capitalize() or "All",
            href=query.address(state=name, page=0),
            aria_current="page" if name == query.state else None,
        )
        for name in ("", *states)
    ]
    hint = "`linnet run configs/fashion.toml` starts one, and so does New run."
    if query.words:
        hint = "A word is looked for in names, reasons, tags and notes; `train.epochs>=10` is a condition."
    shown = _table(rows, query, metrics) if rows else empty("No runs here", hint)
    return join(
        [
            tag("nav", *tabs, class_="tabs", aria_label="State"),
            _search(query, columns),
            shown,
            pager(query.page, PAGE, total, query.address(page=0)),
        ]
    )


def _search(query: TableQuery, columns: dict[str, list[str]]) -> Html:
    """A form that works without script: it asks for the page with other words."""
    kept = [
        tag("input", type="hidden", name=name, value=text)
        for name, text in (("state", query.state), ("sort", query.sort))
        if text
    ]
    if not query.descending:
        kept.append(tag("input", type="hidden", name="order", value="asc"))
    box = tag(
        "input", type="search", name="words", value=query.words, aria_label="Search runs", class_="search",
        placeholder="Words, tags, or train.epochs>=10",
    )  # fmt: skip
    groups = [_boxes(title, names, query) for title, names in columns.items() if names]
    picker = tag("details", tag("summary", "Columns"), tag("div", *groups, class_="columns"), class_="picker")
    button = tag("button", "Show", type="submit", class_="button")
    return tag("form", *kept, box, button, picker, method="get", action="/runs", class_="asked")


def _boxes(title: str, names: Sequence[str], query: TableQuery) -> Html:
    boxes = [
        tag(
            "label",
            tag(
                "input",
                type="checkbox",
                name="column",
                value=name,
                checked="" if name in query.columns else None,
            ),
            f" {_title(name)}",
        )
        for name in names
    ]
    return tag("fieldset", tag("legend", title), *boxes)


def _title(column: str) -> str:
    if column in FACTS:
        return _TITLES.get(column, column.capitalize())
    for beginning in (RESULT, METRIC):
        if column.startswith(beginning):
            return column.removeprefix(beginning).replace("_", " ").capitalize()
    return column


def _is_number(column: str) -> bool:
    return column in _NUMBERS or column.startswith((RESULT, METRIC))


def _table(rows: Sequence[Row], query: TableQuery, metrics: Metrics) -> Html:
    heads = [tag("td"), tag("th", "Run", scope="col"), *(_head(name, query) for name in query.columns)]
    body = [tag("tr", *_cells(row, query, metrics)) for row in rows]
    inner = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *body), aria_label="Runs")
    wide = tag("div", inner, class_="wide", tabindex="0", role="region", aria_label="Runs")
    button = tag("button", "Compare the chosen", type="submit", class_="button")
    words = tag("span", "two to ten of them", class_="soft small")
    foot = tag("div", button, words, class_="actions chosen")
    return tag("form", wide, foot, method="get", action="/compare")


def _head(column: str, query: TableQuery) -> Html:
    here = column == query.sort
    target = query.address(sort=column, descending=not query.descending if here else True, page=0)
    mark = (" ↓" if query.descending else " ↑") if here else ""
    order = ("descending" if query.descending else "ascending") if here else None
    style = "n" if _is_number(column) else None
    name = tag("a", _title(column) + mark, href=target)
    return tag("th", name, scope="col", aria_sort=order, class_=style)


def _cells(row: Row, query: TableQuery, metrics: Metrics) -> list[Html]:
    run_id = row.record.run_id
    box = tag("input", type="checkbox", name="run", value=run_id, aria_label=f"Compare {run_id}")
    cells = [tag("td", box), tag("td", link(run_id, address("runs", run_id)))]
    for column in query.columns:
        style = "n" if _is_number(column) else None
        cells.append(tag("td", _cell(row, column, value(row, column, metrics)), class_=style))
    return cells


def _cell(row: Row, column: str, found: Any) -> object:
    record = row.record
    if column == "state":
        return chip(record.state, mark=True)
    if column == "result":
        return tag("span", result(record), class_="soft small")
    if column == "took":
        return duration(found)
    if column == "cost":
        return money(record.cost.cost, record.cost.currency) if record.cost else "–"
    if column == "tags":
        return join([chip(name) for name in row.remarks.tags])
    if column == "note":
        return tag("span", prose(row.remarks.note), class_="soft small")
    if column == "commit":
        return tag("code", record.commit[:12] or "–")
    if isinstance(found, datetime):
        return when(found, ago=True)
    if found is None:
        return "–"
    return f"{found:,.6g}" if isinstance(found, int | float) else str(found)
