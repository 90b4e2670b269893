"""A run's report in Markdown, as a job summary or a comment of a pull request shows it, or as a page.

Pictures are Mermaid charts and bars of text: GitHub draws both, and shows neither SVG nor data URIs.
"""

from __future__ import annotations

import re
from html import escape
from math import isfinite

from linnet.pages.document import document
from linnet.pages.numbers import number, signed
from linnet.records import (
    DatasetManifest,
    Gate,
    Interval,
    RolloutDecision,
    TrainingReport,
    ValidationReport,
)
from linnet.report.comparison import MetricChange
from linnet.report.evidence import RunEvidence
from linnet.statistics.catalog import BY_KEY, Metric

_HEADLINES = {
    "succeeded": "✅ The candidate passed",
    "rejected": "❌ The candidate was refused",
    "failed": "💥 The run failed",
    "interrupted": "⏹ The run was interrupted",
    "running": "⏳ The run is under way",
}
_MARKS = {"better": " 🟢", "worse": " 🔴", "": ""}
_BAR = 20
_NAMED = 50


def markdown(evidence: RunEvidence, champion: dict[str, float] | None = None) -> str:
    """The report as GitHub Markdown; `champion`: the champion's metrics as the registry has them."""
    parts = [
        _headline(evidence),
        *(f"⚠️ A record cannot be read, and is missing below: {_text(why)}" for why in evidence.unread),
        _data(evidence.dataset, evidence.validation),
        _metrics(evidence, champion or {}),
        _comparison(evidence),
        _gates(evidence.gates),
        _canary(evidence.rollout),
        _curves(evidence.training),
        _steps(evidence),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def html(evidence: RunEvidence, champion: dict[str, float] | None = None) -> str:
    """The same report as a page of its own, where there is nothing that renders Markdown."""
    import markdown2

    text = markdown(evidence, champion)
    body = markdown2.markdown(text, extras=["tables", "fenced-code-blocks"])
    return document(f"Run {evidence.record.run_id}", _STYLE, f"<main>{body}</main>")


def _headline(evidence: RunEvidence) -> str:
    record = evidence.record
    lines = [f"## {_HEADLINES[record.state]}: {_text(str(record.config.get('name', record.pipeline)))}"]
    request = record.request
    facts = [f"run {_code(record.run_id)}", f"cause: {request.cause}", f"by {_text(request.actor)}"]
    if record.commit:
        facts.append(f"commit {_code(record.commit[:12])}")
    if evidence.version:
        facts.append(f"model version **{_text(evidence.version)}**")
    lines.append(" · ".join(facts))
    if record.error:
        lines.append(f"> {_text(record.error.splitlines()[0])}")
    return "\n\n".join(lines)


def _data(dataset: DatasetManifest | None, validation: ValidationReport | None) -> str:
    """What became of the raw images, and what the validation found wrong."""
    if dataset is None:
        return ""
    counts = dataset.findings
    parts = [
        f"### Data\n\n{dataset.rows:,} samples of {dataset.raw_rows:,} images in "
        f"{len(dataset.classes):,} classes, dataset `{_text(dataset.digest[:12])}`."
    ]
    if any(counts.values()):
        rows = [f"| {_text(what)} | {number:,} |" for what, number in counts.items() if number]
        parts.append("| found | number |\n|---|--:|\n" + "\n".join(rows))
    parts += [f"⚠️ {_text(dataset.near_note)}"] if dataset.near_note else []
    if dataset.notes:
        parts.append("\n".join(f"- how it was read: {_text(note)}" for note in dataset.notes))
    total = sum(number for _, number, _ in dataset.named_findings)
    lines = [line for _, _, some in dataset.named_findings for line in some]
    named = [f"- {_text(line)}" for line in lines[:_NAMED]]
    if named:
        more = f", the first {_NAMED}" if total > _NAMED else ""
        listed = "\n".join(named)
        parts.append(f"<details><summary>{total:,} of them by name{more}</summary>\n\n{listed}\n\n</details>")
    broken = [one for one in validation.results if not one.passed] if validation else []
    parts += [f"❌ {_text(one.name)}: {_text(one.detail)}" for one in broken]
    return "\n\n".join(parts)


def _metrics(evidence: RunEvidence, champion: dict[str, float]) -> str:
    report = evidence.evaluation
    if report is None:
        return ""
    against = report.comparison.champion if report.comparison else ""
    head = "| metric | candidate | interval |"
    rule = "|---|--:|--:|"
    if champion:
        head, rule = f"{head} champion {against} | change |", f"{rule}--:|--:|"
    rows = [
        _metric_row(one, report.metrics[one.key], champion.get(one.key) if champion else None, bool(champion))
        for one in BY_KEY.values()
        if one.headline and one.key in report.metrics
    ]
    return f"### Metrics\n\n{head}\n{rule}\n" + "\n".join(rows)


def _metric_row(metric: Metric, found: Interval, before: float | None, columns: bool) -> str:
    row = f"| {metric.title} | **{number(found.value)}** | {number(found.low)} – {number(found.high)} |"
    if not columns:
        return row
    if before is None or not isfinite(before):
        return f"{row} – | – |"
    moved = MetricChange(metric, before, found.value)
    return f"{row} {number(before)} | {signed(moved.change, 4)}{_MARKS[moved.verdict]} |"


def _comparison(evidence: RunEvidence) -> str:
    found = evidence.evaluation.comparison if evidence.evaluation else None
    if found is None:
        return "There was no champion to compare with." if evidence.evaluation else ""
    low, value, high = (
        100 * v for v in (found.difference.low, found.difference.value, found.difference.high)
    )
    return (
        f"On the same samples, accuracy differs from champion {found.champion} by **{value:+.2f} points** "
        f"({low:+.2f} to {high:+.2f}); the answers agree by {found.agreement:.1%}."
    ).replace("-", "−")


def _gates(gates: list[tuple[str, Gate]]) -> str:
    if not gates:
        return ""
    rows = [
        f"| {'✅' if gate.passed else '❌'} | {_text(gate.name.replace('_', ' '))} | {stage} "
        f"| {number(gate.value)} {gate.relation} {number(gate.threshold)} "
        f"| {_text(gate.evidence)} |"
        for stage, gate in gates
    ]
    return "### Gates\n\n| | gate | stage | judged | evidence |\n|---|---|---|--:|---|\n" + "\n".join(rows)


def _canary(rollout: RolloutDecision | None) -> str:
    if rollout is None:
        return ""
    rows = [
        f"| {step.percent} % | {'█' * max(1, step.percent * _BAR // 100)} | {step.candidate_requests:,} "
        f"| {step.verdict} | {_text(step.reason)} |"
        for step in rollout.steps
    ]
    head = "| traffic | | requests | verdict | because |\n|--:|---|--:|---|---|\n"
    return f"### Canary: {rollout.verdict}\n\n{_text(rollout.reason)}\n\n{head}" + "\n".join(rows)


def _curves(training: TrainingReport | None) -> str:
    """Validation and training accuracy per epoch."""
    history = [row for row in training.history if "validation_accuracy" in row] if training else []
    if len(history) < 2:
        return ""
    lines = [
        [row.get(key, float("nan")) for row in history] for key in ("validation_accuracy", "train_accuracy")
    ]
    shown = [line for line in lines if all(isfinite(value) for value in line)]
    if not shown:
        return ""
    low = min(value for line in shown for value in line)
    epochs = ", ".join(f"{row['epoch']:.0f}" for row in history)
    drawn = "\n".join(f"    line [{', '.join(f'{value:.4f}' for value in line)}]" for line in shown)
    waited = training.waiting if training else None
    note = "" if waited is None else f"\n\n{waited:.0%} of the time was spent waiting for batches."
    return (
        "### Training\n\n```mermaid\nxychart-beta\n"
        '    title "accuracy per epoch: validation, training"\n'
        f'    x-axis "epoch" [{epochs}]\n'
        f'    y-axis "accuracy" {max(0.0, low - 0.02):.2f} --> 1.00\n{drawn}\n```{note}'
    )


def _steps(evidence: RunEvidence) -> str:
    stages = evidence.record.stages
    if not stages:
        return ""
    rows = [
        f"| {stage.task} | {'cached' if stage.cached else stage.state} | {stage.seconds:.1f} |"
        for stage in stages
    ]
    total = sum(stage.seconds for stage in stages)
    head = "| step | | seconds |\n|---|---|--:|\n"
    return (
        f"<details><summary>{len(stages)} steps, {total:.0f} s</summary>\n\n{head}"
        + "\n".join(rows)
        + "\n\n</details>"
    )


def _text(text: str) -> str:
    """Text from data, without what would be markup, a mention or the end of a table's cell."""
    safe = escape(" ".join(text.splitlines()), quote=False).replace("@", "@&#8203;")
    return re.sub(r"([|\[\]`])", r"\\\1", safe)


def _code(text: str) -> str:
    """Text from data as code, which it cannot end."""
    return f"`{' '.join(text.splitlines()).replace('`', chr(39))}`"


_STYLE = """
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;margin:0}
main{max-width:900px;margin:0 auto;padding:20px 16px 60px}table{border-collapse:collapse;width:100%}
th,td{padding:6px 10px;border-bottom:1px solid #8884;text-align:left}code{font-size:13px}
blockquote{border-left:3px solid #c33;margin:10px 0;padding:2px 12px}pre{overflow-x:auto}
"""
