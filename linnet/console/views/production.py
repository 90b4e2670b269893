"""Service levels, alerts and drift of a model. Records in, markup out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import isfinite

from linnet.console.alerts import Alert
from linnet.console.markup import (
    Html,
    address,
    bar,
    chip,
    empty,
    join,
    link,
    prose,
    section,
    table,
    tag,
    tile,
    when,
)
from linnet.console.production_status import REFUSED, Example, Watched
from linnet.console.slo import WINDOWS, SloStatus
from linnet.monitoring import charts
from linnet.pages.numbers import number, percent
from linnet.records import DriftReport, PerformanceReport

_REFUSED = 20
_LIGHTS = {"drift": "bad", "stable": "good", "insufficient": "unknown"}


def objectives(found: Sequence[SloStatus]) -> Html:
    """Each objective: what was promised, what was kept, the budget left, and how fast it burns."""
    if not any(objective.total for objective in found):
        return empty("No requests in 30 days", "Objectives are measured on requests: `linnet up` serves.")
    rows = [
        (
            tag("b", objective.title),
            percent(objective.objective, 2),
            percent(objective.kept, 3),
            join([bar(max(objective.budget_left or 0.0, 0.0)), percent(objective.budget_left, 0)]),
            *(f"{objective.burns[window]:.1f}" for window in WINDOWS),
        )
        for objective in found
    ]
    head = (
        "Objective",
        ">Target",
        ">Actual, 30 d",
        ">Budget left",
        *(f">Burn rate {window}" for window in WINDOWS),
    )
    hint = "Burn rate: how many times too fast the error budget is used; 1 uses it up in 30 days. Requests that were turned away before they reached a model are in the server's metrics alone."
    return join(
        [
            table(head, rows, "Service level objectives"),
            tag("p", hint, class_="soft small", style="margin-top:8px"),
        ]
    )


def alerts(found: Sequence[Alert], model: str) -> Html:
    """What fires first, each with what to do about it."""
    rows = [
        (
            chip(_state(alert), _tone(alert), mark=True),
            tag("b", alert.name),
            tag("span", alert.summary, class_="soft small"),
            link("Runbook", address("runbooks", alert.runbook, model=model)),
        )
        for alert in found
    ]
    return table(("State", "Alert", "What is known", "What to do"), rows, "Alerts")


def _state(alert: Alert) -> str:
    return {"firing": alert.severity, "ok": "ok", "unknown": "not measured"}[alert.state]


def _tone(alert: Alert) -> str:
    if alert.firing:
        return "bad" if alert.severity == "page" else "warn"
    return "good" if alert.state == "ok" else "unknown"


def refused(found: Watched) -> Html:
    """Requests that got no prediction: how many of each reason are kept, and what their senders were told."""
    if not found.refused:
        hint = "The server keeps a sample of what it refuses or fails on (serving.refused_keep)."
        return empty("No refused requests are kept", hint)
    counts = Counter(request.reason for request in found.refused)
    rows = [
        (
            when(request.at, ago=True),
            chip(request.reason, "bad" if request.reason == "failed" else "warn"),
            f"{request.status}",
            f"{request.size:,}",
            tag("span", request.problem, class_="soft small"),
            link(request.request_id, address("requests", id=request.request_id)),
        )
        for request in found.refused[:_REFUSED]
    ]
    kept = ", ".join(f"{count} x {reason}" for reason, count in counts.most_common())
    kept = f"of the newest {REFUSED} {kept}" if len(found.refused) == REFUSED else kept
    return join(
        [
            tag(
                "p", f"Kept: {kept}. ", link("Runbook", address("runbooks", "valid-input", model=found.model))
            ),
            table(("When", "Reason", ">Status", ">Bytes", "The sender was told", "Request"), rows, "Refused"),
            prose(
                "`linnet requests show ID -o FILE` writes one to a file; `linnet requests replay` sends them again."
            ),
        ]
    )


def drift(found: Watched) -> Html:
    """The newest window against the reference, a quantity a row; and the windows before it."""
    report = found.drift
    if report is None:
        hint = "`linnet drift report` compares what the champion served with what it was trained on; the monitoring pipeline does so on a schedule."
        return empty("No window was monitored yet", hint)
    rows = [
        (
            tag("b", test.name),
            chip("drift" if test.drifted else "as before", "bad" if test.drifted else "good", mark=True),
            Html(charts.bar(test)),
            number(test.effect),
            f"{test.threshold:g}",
            f"{test.adjusted:.2g}",
        )
        for test in sorted(report.tests, key=lambda test: -test.severity)
    ]
    head = (
        "Quantity",
        "Verdict",
        "Effect; the line is what matters",
        ">Effect",
        ">Matters from",
        "?>Adjusted p",
    )
    return join(
        [
            _window(found, report),
            table(head, rows, "Drift per quantity") if rows else "",
            _cohorts(report),
            _segments(found.labelled),
            tag("h3", "Windows", style="margin:16px 0 8px"),
            tag("div", *(_step(found, index) for index in range(len(found.windows))), class_="steps"),
            *(tag("p", note, class_="soft small") for note in report.notes),
        ]
    )


def _window(found: Watched, report: DriftReport) -> Html:
    window = report.window
    measured = found.performance.accuracy if found.performance else None
    words = [
        chip(report.verdict, _LIGHTS[report.verdict], mark=True),
        f" {window.extent} of version {window.version}, ",
        when(window.start),
        " to ",
        when(window.end),
    ]
    if measured is not None:
        words.append(
            f"; accuracy {percent(measured.value)} ({percent(measured.low)} to {percent(measured.high)})"
        )
    elif found.performance is not None and isfinite(found.performance.estimate.value):
        words.append(f"; accuracy without labels about {percent(found.performance.estimate.value)}")
    labelled = found.labelled
    if measured is None and labelled is not None and labelled.accuracy is not None:
        words.append(
            f"; {percent(labelled.accuracy.value)} in the newest window that labels came for, until "
        )
        words.append(when(labelled.window.end))
    page = _page(found, 0)
    return tag(
        "p",
        *words,
        ". ",
        tag("a", "Full report", href=page, target="_blank", rel="noopener") if page else "",
    )


def _step(found: Watched, index: int) -> Html:
    report, page = found.windows[index][1], _page(found, index)
    shown = chip(f"{report.window.end:%m-%d %H:%M} {report.verdict}", _LIGHTS[report.verdict], mark=True)
    return tag("a", shown, href=page, target="_blank", rel="noopener") if page else shown


def _page(found: Watched, index: int) -> str:
    folder, report = found.windows[index]
    if not (folder / "report.html").exists():
        return ""
    return address("windows", report.window.model, report.window.version, folder.name)


def _cohorts(report: DriftReport) -> Html:
    moved = [cohort for cohort in report.cohorts if cohort.drifted]
    if not moved:
        return Html("")
    rows = [
        (
            join([f"{cohort.cohort} = ", tag("b", cohort.value)]),
            f"{cohort.rows:,}",
            percent(cohort.share),
            percent(cohort.reference_share),
            cohort.column,
            number(cohort.effect),
        )
        for cohort in moved
    ]
    head = ("Cohort", ">Images", ">Share", ">Share before", "?Moved most", ">By (KS)")
    return tag("div", table(head, rows, "Cohorts that drifted"), style="margin-top:12px")


def _segments(report: PerformanceReport | None) -> Html:
    """How well each group of users is served, beside what it had before; nothing where none are told apart."""
    if report is None or not report.segments:
        return Html("")
    rows = [
        (
            join([f"{one.segment} = ", tag("b", one.value)]),
            f"{one.labelled:,}",
            percent(one.accuracy.value),
            f"{percent(one.accuracy.low)} to {percent(one.accuracy.high)}",
            "–" if one.reference is None else percent(one.reference),
            percent(report.falls.get(f"{one.segment}={one.value}", 0.0)),
        )
        for one in sorted(report.segments, key=lambda one: one.accuracy.value)
    ]
    head = ("Group of users", ">Labels", ">Accuracy", "?>Interval", ">Before", ">Proven fall")
    return tag("div", table(head, rows, "Accuracy by group of users"), style="margin-top:12px")


def examples(found: Sequence[Example]) -> Html:
    """Kept images of the window that are least like the reference."""
    if not found:
        return Html("")
    figures = [
        tag(
            "figure",
            tag("img", src=one.picture, alt=f"served image {one.sample_id}", width=112, height=112),
            tag(
                "figcaption",
                "predicted as ",
                tag("b", one.predicted),
                tag("div", link(one.sample_id[:8], address("requests", id=one.sample_id))),
            ),
        )
        for one in found
    ]
    return section(
        "Images least like the training data",
        tag("p", "Of the newest window, the strangest first.", class_="soft small"),
        tag("div", *figures, class_="shots"),
    )


def budget_tile(found: Watched) -> Html:
    """The error budget that is left, of the objective that has least."""
    left = min((p.budget_left for p in found.objectives if p.budget_left is not None), default=None)
    tone = "unknown" if left is None else "bad" if left <= 0 else "warn" if left < 0.25 else "good"
    note = "of 30 days" if left is not None else "no requests in 30 days"
    return tile("Error budget left", percent(left, 0), note, tone, "/monitoring#objectives")


def drift_tile(found: Watched) -> Html:
    """The drift light."""
    report = found.drift
    if report is None:
        return tile("Drift", "–", "no window was monitored", "unknown", "/monitoring#drift")
    return tile(
        "Drift",
        report.verdict,
        when(report.window.end, ago=True),
        _LIGHTS[report.verdict],
        "/monitoring#drift",
    )
