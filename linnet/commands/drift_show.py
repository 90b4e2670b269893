"""What `linnet drift report` and `linnet skew audit` say on the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table
from rich.text import Text

from linnet.commands.terminal import terminal
from linnet.records import DriftReport, PerformanceReport, SkewReport

MOST_QUANTITIES = 8
"""Lines of the table; the page has all."""


def show_drift(drift: DriftReport, performance: PerformanceReport, page: Path) -> None:
    """Verdict, largest effects, accuracy, and where the page is."""
    console = terminal()
    window = drift.window
    color = {"drift": "red", "stable": "green", "insufficient": "yellow"}[drift.verdict]
    facts = f": {window.model} version {window.version}, {window.extent}"
    console.print(Text.assemble((drift.verdict, f"bold {color}"), facts))
    if drift.tests:
        table = Table("quantity", "effect", "matters from", "adjusted p", "")
        ordered = sorted(drift.tests, key=lambda test: -test.severity)
        for test in ordered[:MOST_QUANTITIES]:
            mark = Text("drifted", "red") if test.drifted else Text()
            table.add_row(
                test.name, f"{test.effect:.3f}", f"{test.threshold:g}", f"{test.adjusted:.2g}", mark
            )
        console.print(table)
        if left := ordered[MOST_QUANTITIES:]:
            console.print(f"and {len(left)} more, {sum(test.drifted for test in left)} of them drifted")
    for cohort in (cohort for cohort in drift.cohorts if cohort.drifted):
        console.print(f"cohort {cohort.name}: {cohort.column} moved by {cohort.effect:.2f} (KS)")
    if performance.accuracy is not None:
        a = performance.accuracy
        console.print(
            f"accuracy {a.value:.3f} ({a.low:.3f} to {a.high:.3f}) of {performance.labelled:,} labelled"
        )
    for one in performance.segments:
        a, before = one.accuracy, "" if one.reference is None else f"; {one.reference:.3f} before"
        said = f"{a.value:.3f} ({a.low:.3f} to {a.high:.3f}) of {one.labelled:,} labelled{before}"
        console.print(f"accuracy on {one.segment}={one.value} {said}")
    for name, fall in performance.falls.items():
        if fall:
            console.print(f"accuracy on {name} is proven to have fallen by at least {fall:.3f}", style="red")
    if window.rows:
        e = performance.estimate
        holds = "" if performance.estimate_holds else f"; unproven: {performance.doubts[0]}"
        console.print(f"estimated without labels {e.value:.3f} ({e.low:.3f} to {e.high:.3f}){holds}")
    for note in (*drift.notes, *performance.notes):
        console.print(note)
    console.print(f"look at it: {page}")


def show_skew(found: SkewReport) -> None:
    """Verdict, what was compared, and the first differences."""
    console = terminal()
    color = "green" if found.verdict == "pass" else "red"
    facts = (
        f": {found.differences:,} differences in {found.compared:,} of "
        f"{found.rows:,} rows ({found.by_store:,} by the feature store, {found.by_pixels:,} by kept images, "
        f"{found.unknown:,} could not be compared)"
    )
    console.print(Text.assemble((found.verdict, f"bold {color}"), facts))
    if found.examples:
        table = Table("request", "what", "served", "offline", "by")
        for one in found.examples[:10]:
            table.add_row(one.request_id, one.what, one.served, one.offline, one.source)
        console.print(table)
        if (left := found.differences - len(found.examples[:10])) > 0:
            console.print(f"and {left:,} more")
    for note in (*found.libraries, *found.notes):
        console.print(note)
