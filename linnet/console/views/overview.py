"""The overview: is all well, and what needs a person now? Records in, markup out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from linnet.console.markup import (
    Html,
    address,
    bar,
    card,
    chip,
    empty,
    join,
    link,
    of_all,
    prose,
    split_bar,
    table,
    tag,
    tile,
    tiles,
    when,
)
from linnet.console.prediction_log import LogSummary
from linnet.console.sources import Canary, ServerStatus
from linnet.pages.numbers import duration, money, number, percent
from linnet.records import ModelVersion, RunRecord, now

LAST_RUNS = 6
_OLD_DAYS = 30


@dataclass(frozen=True)
class Need:
    """Something that waits for a person: what, why, and where to do it."""

    tone: Literal["bad", "warn", "accent"]
    title: str
    why: str
    target: str


@dataclass(frozen=True)
class Overview:
    """All that the page shows."""

    model: str
    champion: ModelVersion | None
    challenger: ModelVersion | None
    promoted_at: datetime | None
    served: ServerStatus
    log: LogSummary
    runs: Sequence[RunRecord]
    canary: Canary | None = None
    extra_needs: tuple[Need, ...] = ()
    unmeasured: tuple[str, ...] = ()
    """Names of what is watched and was not measured yet."""
    extra_tiles: tuple[Html, ...] = ()


def needs(view: Overview) -> list[Need]:
    """What waits for a person, the most urgent first."""
    found: list[Need] = []
    champion, served = view.champion, view.served
    if champion is not None and served.problem:
        unserved = f"Version {champion.version} of {champion.name} is not served"
        found.append(
            Need("warn", unserved if served.url else "No server is running", served.problem, "/release")
        )
    elif champion is not None and served.champion not in ("", champion.version):
        why = f"The server answers with version {served.champion}; the champion is {champion.version}."
        found.append(Need("bad", "The server does not serve the champion", why, "/release"))
    if (canary := view.canary) is not None and not canary.alive:
        why = (
            f"Nobody carries out the rollout of version {canary.version} any more: its traffic goes back to the "
            "champion by itself."
        )
        found.append(Need("bad", "Abandoned canary", why, "/release"))
    elif canary is not None and canary.phase in ("waiting", "paused"):
        words = "waits for approval" if canary.phase == "waiting" else "is paused"
        why = f"Version {canary.version} {words} at {canary.percent} % of the traffic."
        found.append(Need("warn", "A canary waits for you", why, "/release"))
    elif served.candidate:
        why = f"Version {served.candidate} gets {served.percent:g} % of the traffic."
        found.append(Need("accent", "A canary is under way", why, "/release"))
    if view.runs and view.runs[0].state in ("failed", "interrupted", "rejected"):
        last = view.runs[0]
        title = {"failed": "The last run failed", "rejected": "The last candidate was refused"}
        why = (last.error or "See the run.").splitlines()[0]
        tone: Literal["bad", "warn"] = "bad" if last.state == "failed" else "warn"
        found.append(
            Need(
                tone, title.get(last.state, "The last run was interrupted"), why, address("runs", last.run_id)
            )
        )
    if view.challenger is not None and not served.candidate and not _running(view.runs):
        why = f"Version {view.challenger.version} passed its gates, and did not come through its release."
        target = address("models", view.model, view.challenger.version)
        found.append(Need("warn", "A challenger waits for a decision", why, target))
    if view.promoted_at is not None and (now() - view.promoted_at).days >= _OLD_DAYS:
        why = f"It was promoted {(now() - view.promoted_at).days} days ago."
        found.append(Need("warn", "The champion is old", why, "/runs/new"))
    order = {"bad": 0, "warn": 1, "accent": 2}
    return sorted([*found, *view.extra_needs], key=lambda need: order[need.tone])


def _running(records: Sequence[RunRecord]) -> bool:
    return any(record.state == "running" for record in records)


def page(view: Overview) -> Html:
    """The whole page below its heading."""
    if not view.runs and view.champion is None:
        hint = join(
            [
                "Start one with ",
                tag("code", "linnet run configs/fashion.toml"),
                " or ",
                link("here", "/runs/new"),
                ".",
            ]
        )
        return empty("Nothing ran here yet", hint)
    return join(
        [
            tag("section", _tiles(view)),
            tag(
                "section",
                card("Needs attention", _needs(needs(view)), _unmeasured(view.unmeasured)),
                card("Traffic", _traffic(view)),
                class_="grid two",
            ),
            tag("section", tag("h2", "Last runs"), _runs(view.runs[:LAST_RUNS])),
        ]
    )


def _tiles(view: Overview) -> Html:
    champion = view.champion
    if champion is None:
        first = tile("Champion", "none yet", "no version came through a release", "warn")
        second = tile("Test accuracy", "–")
    else:
        target = address("models", champion.name, champion.version)
        age = join(["promoted ", when(view.promoted_at or champion.created_at, ago=True)])
        first = tile("Champion", f"Version {champion.version}", age, "", target)
        second = tile(
            "Test accuracy",
            percent(champion.metrics.get("accuracy"), 2),
            f"macro F1 {number(champion.metrics.get('macro_f1'))}",
        )
    log = view.log
    failed = log.failed / log.requests if log.requests else 0.0
    words = f"{percent(failed, 2)} failed, p95 {log.p95_ms:.1f} ms" if log.requests else "no requests yet"
    third = tile("Answered", f"{log.requests:,}", words, "bad" if failed > 0.01 else "", "/monitoring")
    return tiles(first, second, third, *view.extra_tiles)


def _unmeasured(names: Sequence[str]) -> Html:
    """What is neither well nor ill, because nobody looked."""
    if not names:
        return Html("")
    return tag(
        "p",
        chip("not measured", "unknown", mark=True),
        f" {', '.join(names)}. ",
        link("See why", "/monitoring"),
    )


def _needs(found: Sequence[Need]) -> Html:
    if not found:
        return tag("p", chip("nothing to do", "good", mark=True))
    items = [
        tag(
            "li",
            tag("span", class_=f"dot {need.tone}"),
            tag(
                "div",
                tag("p", tag("b", link(need.title, need.target))),
                tag("p", prose(need.why), class_="soft small"),
            ),
        )
        for need in found
    ]
    return tag("ul", *items, class_="todo")


def _traffic(view: Overview) -> Html:
    served = view.served
    if served.problem:
        return join([tag("p", chip("not serving", "warn")), tag("p", prose(served.problem), class_="soft")])
    share = served.percent if served.candidate else 0.0
    split = split_bar(share)
    lines = [tag("p", tag("b", f"{100 - share:g} %"), f" version {served.champion or 'none'} (champion)")]
    if served.candidate:
        lines.append(tag("p", tag("b", f"{share:g} %"), f" version {served.candidate} (candidate)"))
    return join(
        [
            split,
            tag("div", *lines, style="margin-top:12px"),
            tag("p", "at ", tag("code", served.url), class_="soft small"),
        ]
    )


def _runs(records: Sequence[RunRecord]) -> Html:
    if not records:
        return empty("No runs yet", link("Start one", "/runs/new"))
    return runs_table(records)


def runs_table(records: Sequence[RunRecord]) -> Html:
    """Runs, one a row."""
    return table(
        ("Run", "State", "?Cause", "Started", ">Took", "?>Cost", "?Result"),
        (
            (
                link(record.run_id, address("runs", record.run_id)),
                chip(record.state, mark=True),
                record.request.cause,
                when(record.started_at, ago=True),
                duration(took(record)),
                money(record.cost.cost, record.cost.currency) if record.cost else "–",
                tag("span", result(record), class_="soft small"),
            )
            for record in records
        ),
        "Runs",
    )


def took(record: RunRecord) -> float | None:
    """Seconds from a run's start to its end, or to now while it is under way."""
    if record.ended_at is None:
        return (now() - record.started_at).total_seconds() if record.state == "running" else None
    return (record.ended_at - record.started_at).total_seconds()


def result(record: RunRecord) -> str:
    """What came of a run: its accuracy, or why it failed."""
    if record.error:
        line = record.error.splitlines()[0]
        return line if len(line) <= 90 else line[:89] + "…"
    for stage in record.stages:
        if (accuracy := stage.values.get("test_accuracy")) is not None:
            return f"accuracy {percent(float(accuracy), 2)}"
    return ""


def class_bars(counts: dict[str, int], most: int = 12) -> Html:
    """Classes with their share as bars, the commonest first, and how many there are in all."""
    total = sum(counts.values()) or 1
    top = max(counts.values(), default=1)
    rows = [
        (name, bar(count / top), f"{count:,}", percent(count / total))
        for name, count in sorted(counts.items(), key=lambda item: -item[1])[:most]
    ]
    shown = table(("Class", "", ">Count", ">Share"), rows, "Classes")
    return join([shown, of_all(len(rows), len(counts), "classes, the commonest")])
