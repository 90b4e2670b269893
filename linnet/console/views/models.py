"""Model versions and their evidence. Records in, markup out."""

from __future__ import annotations

from collections.abc import Sequence

from linnet.console.markup import (
    Html,
    address,
    card,
    chip,
    empty,
    facts,
    join,
    link,
    of_all,
    section,
    table,
    tag,
    tile,
    tiles,
    when,
)
from linnet.console.views.measured import change, confusion_of
from linnet.evaluation import plots
from linnet.pages.numbers import number, percent, signed
from linnet.records import CohortResult, Comparison, EvaluationReport, LedgerEntry, ModelPackage, ModelVersion
from linnet.report.comparison import MetricChange
from linnet.statistics.catalog import BY_KEY
from linnet.statistics.reliability import ReliabilityBin

PAGE = 20


def versions_table(versions: Sequence[ModelVersion]) -> Html:
    """Versions, one a row, the newest first."""
    if not versions:
        return empty("No version is registered yet", "A run registers one when every gate passes.")
    return table(
        ("Version", "Role", ">Accuracy", ">Macro F1", "?Commit", "Registered"),
        (
            (
                link(f"{version.name} {version.version}", address("models", version.name, version.version)),
                join([chip(alias) for alias in version.aliases]),
                percent(version.metrics.get("accuracy"), 2),
                number(version.metrics.get("macro_f1")),
                tag("code", version.tags.get("commit", "")[:10]),
                when(version.created_at, ago=True),
            )
            for version in versions
        ),
        "Versions",
    )


def ledger_table(entries: Sequence[LedgerEntry], most: int | None = None) -> Html:
    """Who moved which alias, and why; the newest first, and how many there are in all."""
    if not entries:
        return empty("The ledger is empty", "Every registration, promotion and rollback gets a line.")
    shown = table(
        ("When", "Event", "?Actor", "Reason"),
        (
            (
                when(entry.at),
                join([chip(entry.action, _TONES.get(entry.action, "")), f" version {entry.version}"]),
                entry.actor,
                tag("span", entry.reason, class_="soft small"),
            )
            for entry in entries[:most]
        ),
        "Ledger",
    )
    return join([shown, of_all(len(entries[:most]), len(entries), "lines, the newest")])


_TONES = {"promote": "good", "rollback": "bad", "challenge": "accent"}


def figures(version: ModelVersion, package: ModelPackage | None, report: EvaluationReport | None) -> Html:
    """The figures of one version."""
    accuracy = report.metrics.get("accuracy") if report else None
    bounds = f"{percent(accuracy.low)} to {percent(accuracy.high)}" if accuracy else ""
    speed, size = (
        ("–", "–") if package is None else (f"{package.latency_p95_ms:.1f} ms", f"{package.size_mb:.2f} MB")
    )
    return tiles(
        tile("Accuracy", percent(version.metrics.get("accuracy"), 2), bounds),
        tile("Macro F1", number(version.metrics.get("macro_f1"))),
        tile("Calibration error", number(version.metrics.get("ece")), "after temperature scaling"),
        tile("Latency p95", speed, "in the real server"),
        tile("Size", size, "ONNX, preprocessing inside"),
    )


def origin(version: ModelVersion) -> Html:
    """Where a version comes from."""
    tags = version.tags
    run = tags.get("run", "")
    pairs: list[tuple[str, object]] = [
        ("Registered", when(version.created_at)),
        ("Run", link(run, address("runs", run)) if run else "–"),
        ("Commit", tag("code", tags.get("commit", "–")[:12])),
        ("Dataset", tag("code", tags.get("dataset_digest", "–")[:16])),
        ("Feature service", tags.get("feature_service", "–")),
        ("MLflow run", tag("code", version.run_id or "–")),
        ("Package digest", tag("code", tags.get("package_digest", "–")[:16])),
    ]
    return card("Where it comes from", facts(pairs))


def against(version: ModelVersion, champion: ModelVersion | None, report: EvaluationReport | None) -> Html:
    """The version against the champion that it was compared with, on the same samples."""
    comparison = report.comparison if report else None
    parts: list[object] = []
    if comparison is not None:
        difference = comparison.difference
        low, high = plots.axis_around([difference], 0.0)
        words = f"{signed(100 * difference.value)} points ({signed(100 * difference.low)} to {signed(100 * difference.high)})"
        parts += [
            tag(
                "p",
                "On the same test samples, accuracy differs from champion ",
                f"{comparison.champion} by ",
                tag("b", words),
                ".",
            ),
            Html(plots.whisker(difference, low, high, 0.0, difference.value >= 0)),
            tag(
                "p",
                f"The answers agree by {percent(comparison.agreement)}; only this one is right on {comparison.candidate_only_right:,}, only the champion on {comparison.champion_only_right:,}.",
                class_="soft small",
            ),
        ]
    elif report is not None:
        parts.append(
            tag("p", "There was no champion to compare with: only the absolute gates decided.", class_="soft")
        )
    if report is not None and comparison is not None and comparison.metrics:
        parts.append(_differences(version.version, report, comparison))
    if (
        champion is not None
        and comparison is not None
        and champion.version not in (version.version, comparison.champion)
    ):
        parts.append(
            tag(
                "p",
                f"Version {champion.version}, the present champion, was not measured on these samples.",
                class_="soft small",
            )
        )
    return card("Against the champion", *parts) if parts else Html("")


def _differences(version: str, report: EvaluationReport, comparison: Comparison) -> Html:
    """Both on the same samples; what the registry has of a champion was measured on its own."""
    rows = []
    for metric in BY_KEY.values():
        mine, other = report.metrics.get(metric.key), comparison.metrics.get(metric.key)
        if metric.headline and mine is not None and other is not None:
            moved = change(MetricChange(metric, other, mine.value))
            rows.append((metric.title, number(mine.value), number(other), moved))
    return table(
        ("Metric", f">Version {version}", f">Champion {comparison.champion}", ">Change"), rows, "Metrics"
    )


def cohorts(found: Sequence[CohortResult], overall: float) -> Html:
    """Accuracy a cohort, the worst first; those surely below the whole are marked."""
    if not found:
        return empty("No cohorts", "Name columns as cohorts in the config, and they are judged here.")
    low, high = plots.axis_around([one.accuracy for one in found], overall)
    rows = [
        (
            join([f"{one.cohort} = ", tag("b", one.value)]),
            join(
                [chip("low", "bad") if one.accuracy.high < overall else "", " ", percent(one.accuracy.value)]
            ),
            Html(plots.whisker(one.accuracy, low, high, overall, one.accuracy.high >= overall)),
            f"{one.samples:,}",
        )
        for one in sorted(found, key=lambda one: one.accuracy.value)
    ]
    return table(("Cohort", ">Accuracy", "?Interval", ">Samples"), rows, "Cohorts")


def confusion(
    mine: EvaluationReport,
    other: EvaluationReport | None,
    names: tuple[str, str],
    runs: tuple[str, str] = ("", ""),
) -> Html:
    """Confusion matrices, side by side where there are two; none where classes do not exclude each other.

    `runs`: the runs that measured them, whose images the cells open.
    """
    if not mine.confusion:
        return Html("")
    cards = [card(names[0], confusion_of(mine, runs[0]))]
    if other is not None and other.confusion:
        cards.append(card(names[1], confusion_of(other, runs[1])))
    hint = tag(
        "p",
        "Rows are true classes, columns predicted ones; the shade is the share of the row. "
        "A cell opens its images.",
        class_="soft small",
    )
    return section("Confusion matrix", hint, tag("div", *cards, class_="grid two"))


def reliability(
    before: Sequence[ReliabilityBin], after: Sequence[ReliabilityBin], report: EvaluationReport
) -> Html:
    """The reliability diagram with its two figures."""
    drawn = Html(plots.reliability_diagram(before, after, 0.95))
    words = f"Calibration error {number(report.ece_before)} before and {number(report.metrics['ece'].value)} after scaling by temperature {report.temperature:.3f}."
    return card("Calibration", drawn, tag("p", words, class_="soft small"))
