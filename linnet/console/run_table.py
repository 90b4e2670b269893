"""The table of runs as a reader asks for it: search, columns of their choice, order. Records in, rows out."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from typing import Any
from urllib.parse import urlencode

from linnet.records import RunRecord, now
from linnet.registry.protocol import flattened
from linnet.run.remarks import RunRemarks

PAGE = 25
MOST_COLUMNS = 16
FACTS = ("state", "model", "cause", "actor", "started", "took", "cost", "result", "tags", "note", "commit")
"""Columns that every run has."""
USUAL = ("state", "cause", "started", "took", "cost", "tags", "result")
RESULT, METRIC = "result.", "metric."
"""Beginnings of the columns that hold what a step gave, and what the evaluation measured."""
Metrics = Callable[[str], Mapping[str, float]]
"""The metrics of a run by its id: read from its evaluation, so asked for only where a column needs them."""

_CONDITION = re.compile(r"([\w.]+)(<=|>=|!=|=|<|>)(.+)")
_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt, "=": operator.eq, "!=": operator.ne,
}  # fmt: skip


@dataclass(frozen=True)
class Row:
    """A run, and what people say of it."""

    record: RunRecord
    remarks: RunRemarks = field(default_factory=RunRemarks)


@dataclass(frozen=True)
class TableQuery:
    """What a reader asks for, as it stands in the page's address: it can be sent."""

    words: str = ""
    state: str = ""
    columns: tuple[str, ...] = USUAL
    sort: str = "started"
    descending: bool = True
    page: int = 0

    @staticmethod
    def parse(pairs: Iterable[tuple[str, str]]) -> TableQuery:
        """From the words of an address; what it does not know is left out."""
        given: dict[str, list[str]] = {}
        for name, value in pairs:
            given.setdefault(name, []).append(value)

        def one(name: str, default: str = "") -> str:
            return given.get(name, [default])[-1][:200]

        columns = tuple(dict.fromkeys(c[:100] for c in given.get("column", []) if c))[:MOST_COLUMNS]
        page = one("page", "0")
        return TableQuery(
            words=one("words"),
            state=one("state"),
            columns=columns or USUAL,
            sort=one("sort", "started"),
            descending=one("order", "desc") != "asc",
            page=min(int(page), 10**6) if page.isascii() and page.isdigit() else 0,
        )

    def address(self, **changed: Any) -> str:
        """The page's address for this query with some of it changed; what is usual is left out."""
        new, usual = replace(self, **changed), TableQuery()
        pairs = [
            *([("words", new.words)] if new.words else []),
            *([("state", new.state)] if new.state else []),
            *([("column", column) for column in new.columns] if new.columns != usual.columns else []),
            *([("sort", new.sort)] if new.sort != usual.sort else []),
            *([("order", "asc")] if not new.descending else []),
            *([("page", str(new.page))] if new.page else []),
        ]
        return "/runs" + (f"?{urlencode(pairs)}" if pairs else "")


def offered(rows: Sequence[Row], metrics: Iterable[str]) -> dict[str, list[str]]:
    """Columns to choose from, by what they are: facts, results of steps, metrics, settings.

    Of the settings those that differ between the runs: the others tell nothing of any of them.
    """
    results = {name for row in rows for name in _results(row.record)}
    values: dict[str, set[str]] = {}
    for row in rows:
        for name, value in flattened(row.record.config).items():
            number = _number(value)  # KFP's structs make 3.0 of 3
            values.setdefault(name, set()).add(value if number is None else f"{number:g}")
    differing = sorted(name for name, seen in values.items() if len(seen) > 1)
    return {
        "Facts": list(FACTS),
        "Results": sorted(RESULT + name for name in results),
        "Metrics": [METRIC + name for name in metrics],
        "Settings that differ": differing,
    }


def value(row: Row, column: str, metrics: Metrics) -> Any:
    """What a run has in a column: a number, a text, a moment; None where it has nothing there."""
    if column in FACTS:
        return _fact(row, column)
    if column.startswith(RESULT):
        return _results(row.record).get(column.removeprefix(RESULT))
    if column.startswith(METRIC):
        return metrics(row.record.run_id).get(column.removeprefix(METRIC))
    found = flattened(row.record.config).get(column)
    number = None if found is None else _number(found)
    return found if number is None else number


def chosen(rows: Sequence[Row], query: TableQuery, metrics: Metrics) -> list[Row]:
    """The rows that fit the query, in its order; what has nothing in the column of the order comes last."""
    fits = [row for row in rows if query.state in ("", row.record.state) and _fits(row, query, metrics)]
    keyed = [(value(row, query.sort, metrics), row) for row in fits]
    known = [(key, row) for key, row in keyed if not _missing(key)]
    known.sort(key=lambda pair: _order(pair[0]), reverse=query.descending)
    return [row for _, row in known] + [row for key, row in keyed if _missing(key)]


def _missing(key: Any) -> bool:
    return key is None or (isinstance(key, float) and isnan(key))


def _order(key: Any) -> tuple[int, Any]:
    """Numbers before texts: a setting may be a number in one run and a word in another."""
    if isinstance(key, str):
        return 1, key.lower()
    return 0, key.timestamp() if hasattr(key, "timestamp") else key


def _fits(row: Row, query: TableQuery, metrics: Metrics) -> bool:
    """Whether a run has every word, and meets every condition such as `train.epochs>=10`."""
    record, said = row.record, row.remarks
    text = " ".join(
        (record.run_id, record.model_name, record.request.cause, record.request.actor, record.request.reason,
         record.error, record.commit, *said.tags, said.note)
    ).lower()  # fmt: skip
    for word in query.words.lower().split():
        condition = _CONDITION.fullmatch(word)
        if not (_meets(row, condition, metrics) if condition else word in text):
            return False
    return True


def _meets(row: Row, condition: re.Match[str], metrics: Metrics) -> bool:
    column, sign, wanted = condition.groups()
    if column == "tags":
        return (wanted in (tag.lower() for tag in row.remarks.tags)) == (sign != "!=")
    found = value(row, column, metrics)
    number = _number(wanted)
    if found is None:
        return sign == "!="
    if number is not None and isinstance(found, int | float):
        return _TESTS[sign](found, number)
    return _TESTS[sign](str(found).lower(), wanted)


def _fact(row: Row, column: str) -> Any:
    record = row.record
    end = record.ended_at or (now() if record.state == "running" else None)
    facts: dict[str, Any] = {
        "state": record.state,
        "model": record.model_name,
        "cause": record.request.cause,
        "actor": record.request.actor,
        "started": record.started_at,
        "took": (end - record.started_at).total_seconds() if end else None,
        "cost": record.cost.cost if record.cost else None,
        "result": _results(record).get("test_accuracy"),
        "tags": ", ".join(row.remarks.tags) or None,
        "note": row.remarks.note or None,
        "commit": record.commit or None,
    }
    return facts[column]


def _results(record: RunRecord) -> dict[str, float]:
    """Numbers that the run's steps gave, by their name."""
    return {
        name: value
        for stage in record.stages
        for name, value in stage.values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
