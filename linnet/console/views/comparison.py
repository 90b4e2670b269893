"""Two runs side by side: settings, metrics, gates and curves. Records in, markup out."""

from __future__ import annotations

from linnet.console.curves import Line, curves
from linnet.console.markup import Html, address, card, chip, empty, join, link, section, table, tag, when
from linnet.pages.numbers import number
from linnet.records import Gate
from linnet.report import comparison
from linnet.report.evidence import RunEvidence


def compare(first: RunEvidence, second: RunEvidence) -> Html:
    """Two runs side by side: metrics, gates, curves, and the settings that differ."""
    a, b = first.record, second.record
    head = table(
        ("", "A", "B"),
        (
            ("Run", link(a.run_id, address("runs", a.run_id)), link(b.run_id, address("runs", b.run_id))),
            ("State", chip(a.state, mark=True), chip(b.state, mark=True)),
            ("Started", when(a.started_at), when(b.started_at)),
            ("Commit", tag("code", a.commit[:12] or "–"), tag("code", b.commit[:12] or "–")),
            ("Cause", a.request.cause, b.request.cause),
        ),
        "Runs",
    )
    return join(
        [
            tag("section", head),
            section("Settings that differ", _settings(first, second)),
            section("Metrics", _metrics(first, second)),
            section("Gates", _gate_pairs(first, second)),
            _curves(first, second),
        ]
    )


def _settings(first: RunEvidence, second: RunEvidence) -> Html:
    rows = [
        (tag("code", key), "–" if a is None else a, "–" if b is None else b)
        for key, a, b in comparison.settings(first, second)
    ]
    return (
        table(("Setting", "A", "B"), rows, "Settings that differ")
        if rows
        else tag("p", "None: the same settings.", class_="soft")
    )


def _metrics(first: RunEvidence, second: RunEvidence) -> Html:
    found = comparison.metrics(first, second)
    if found is None:
        return empty("Nothing to compare", "One of the runs was not evaluated.")
    rows = [
        (metric.metric.title, number(metric.first), number(metric.second), change(metric)) for metric in found
    ]
    return table(("Metric", ">A", ">B", ">B − A"), rows, "Metrics")


def change(metric: comparison.MetricChange) -> Html:
    """By how much a metric moved, coloured by whether that is good."""
    tones = {"better": "good", "worse": "bad"}
    return chip(metric.words, tones.get(metric.verdict, ""))


def _gate_pairs(first: RunEvidence, second: RunEvidence) -> Html:
    def cell(gate: Gate | None) -> object:
        if gate is None:
            return "–"
        return join([chip("pass" if gate.passed else "fail", mark=True), f" {number(gate.value)}"])

    found = comparison.gates(first, second)
    rows = [(name.replace("_", " "), cell(a), cell(b)) for name, a, b in found]
    return table(("Gate", "A", "B"), rows, "Gates") if rows else empty("No gates", "Neither run was judged.")


def _curves(first: RunEvidence, second: RunEvidence) -> Html:
    lines = [
        Line.of(name, one.training.history if one.training else (), "validation_accuracy")
        for name, one in (("A", first), ("B", second))
    ]
    drawn = curves(lines, "Validation accuracy per epoch")
    return section("Validation accuracy", card("", drawn)) if drawn else Html("")
