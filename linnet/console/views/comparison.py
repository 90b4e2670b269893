"""Runs side by side: settings, metrics, gates, curves, and the pixels' confusions. Records in, markup out."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from string import ascii_uppercase

from linnet.console.curves import MOST, Line, curves
from linnet.console.markup import Html, address, card, chip, empty, join, link, section, table, tag, when
from linnet.console.scatter import Dot, scatter
from linnet.console.views.measured import change, confusion_of
from linnet.pages.numbers import number
from linnet.records import Gate
from linnet.report import comparison
from linnet.report.evidence import RunEvidence
from linnet.statistics.catalog import BY_KEY

LETTERS = ascii_uppercase[:MOST]


def compare(found: Sequence[RunEvidence], setting: str = "", metric: str = "") -> Html:
    """Two to ten runs: A, B and so on. `setting` and `metric`: what the scatter shows, else the first."""
    head = table(
        ("", "Run", "State", "Started", "?Commit", "?Cause"),
        (
            (
                tag("b", letter),
                link(one.record.run_id, address("runs", one.record.run_id)),
                chip(one.record.state, mark=True),
                when(one.record.started_at),
                tag("code", one.record.commit[:12] or "–"),
                one.record.request.cause,
            )
            for letter, one in zip(LETTERS, found, strict=False)
        ),
        "Runs",
    )
    return join(
        [
            tag("section", head),
            section("Settings that differ", _settings(found)),
            section("Metrics", _metrics(found)),
            _scatter(found, setting, metric),
            _curves(found),
            section("Gates", _gates(found)),
            _confusions(found),
        ]
    )


def _settings(found: Sequence[RunEvidence]) -> Html:
    rows = [
        (tag("code", key), *("–" if value is None else value for value in values))
        for key, values in comparison.settings(*found)
    ]
    if not rows:
        return tag("p", "None: the same settings.", class_="soft")
    return table(("Setting", *LETTERS[: len(found)]), rows, "Settings that differ")


def _metrics(found: Sequence[RunEvidence]) -> Html:
    """The metrics of all; of two runs also what changed, of more the best of each."""
    measured = [one for one in found if one.evaluation is not None]
    if len(measured) < 2:
        return empty("Nothing to compare", "Fewer than two of the runs were evaluated.")
    if len(found) == 2:
        pairs = comparison.metrics(found[0], found[1]) or []
        rows = [(one.metric.title, number(one.first), number(one.second), change(one)) for one in pairs]
        return table(("Metric", ">A", ">B", ">B − A"), rows, "Metrics")
    same = len({one.evaluation.test_digest for one in measured if one.evaluation}) == 1
    body = []
    for metric in BY_KEY.values():
        values = [_measure(one, metric.key) for one in found]
        known = [value for value in values if isfinite(value)]
        if not metric.headline or not known:
            continue
        best = (max if metric.more_is_better else min)(known)
        cells = [
            tag("b", number(value), " ✓") if same and value == best else number(value) for value in values
        ]
        body.append((metric.title, *cells))
    shown = table(("Metric", *(f">{letter}" for letter in LETTERS[: len(found)])), body, "Metrics")
    words = "✓ is the best of the row."
    if not same:
        words = "Not all were measured on the same test samples: no best is marked."
    return join([shown, tag("p", words, class_="soft small")])


def _measure(one: RunEvidence, key: str) -> float:
    interval = one.evaluation.metrics.get(key) if one.evaluation else None
    return interval.value if interval else float("nan")


def _gates(found: Sequence[RunEvidence]) -> Html:
    def cell(gate: Gate | None) -> object:
        if gate is None:
            return "–"
        return join([chip("pass" if gate.passed else "fail", mark=True), f" {number(gate.value)}"])

    rows = [(name.replace("_", " "), *map(cell, gates)) for name, gates in comparison.gates(*found)]
    if not rows:
        return empty("No gates", "None of them was judged.")
    return table(("Gate", *LETTERS[: len(found)]), rows, "Gates")


def _curves(found: Sequence[RunEvidence]) -> Html:
    histories = [one.training.history if one.training else () for one in found]

    def drawn(key: str, caption: str) -> Html:
        lines = [Line.of(letter, rows, key) for letter, rows in zip(LETTERS, histories, strict=False)]
        return curves(lines, caption)

    pictures = {
        "Validation accuracy": drawn("validation_accuracy", "Validation accuracy per epoch"),
        "Training loss": drawn("loss", "Training loss per epoch"),
    }
    cards = [card(title, picture) for title, picture in pictures.items() if picture]
    return tag("section", tag("div", *cards, class_="grid two")) if cards else Html("")


def _scatter(found: Sequence[RunEvidence], setting: str, metric: str) -> Html:
    """A setting that differs against a metric; both are chosen by a form that works without script."""
    settings = dict(comparison.settings(*found))
    metrics = [
        one for one in BY_KEY.values() if one.headline and any(isfinite(_measure(r, one.key)) for r in found)
    ]
    if not settings or not metrics:
        return Html("")
    name = setting if setting in settings else next(iter(settings))
    shown = next((one for one in metrics if one.key == metric), metrics[0])
    dots = [
        Dot(letter, text, _measure(one, shown.key))
        for letter, one, text in zip(LETTERS, found, settings[name], strict=False)
        if text is not None and isfinite(_measure(one, shown.key))
    ]
    kept = [tag("input", type="hidden", name="run", value=one.record.run_id) for one in found]
    form = tag(
        "form",
        *kept,
        _choice("setting", "Setting", [(key, key) for key in settings], name),
        _choice("metric", "Metric", [(one.key, one.title) for one in metrics], shown.key),
        tag("button", "Draw", type="submit", class_="button"),
        method="get",
        action="/compare#scatter",
        class_="asked",
    )
    picture = scatter(dots, name, shown.title) or tag("p", "None of the runs has both.", class_="soft")
    return tag("section", tag("h2", "A setting against a metric"), form, card("", picture), id="scatter")


def _choice(name: str, label: str, options: Sequence[tuple[str, str]], chosen: str) -> Html:
    shown = [
        tag("option", title, value=key, selected="" if key == chosen else None) for key, title in options
    ]
    return tag(
        "div", tag("label", label, for_=name), tag("select", *shown, id=name, name=name), class_="field"
    )


def _confusions(found: Sequence[RunEvidence]) -> Html:
    """Confusion matrices side by side; none where classes do not exclude each other."""
    cards = [
        card(letter, confusion_of(report, one.record.run_id))
        for letter, one in zip(LETTERS, found, strict=False)
        if (report := one.evaluation) is not None and report.confusion
    ]
    return section("Confusion matrices", tag("div", *cards, class_="grid two")) if cards else Html("")
