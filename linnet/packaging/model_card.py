"""The model card: what the model is, how good it is and for whom, and what it must not be used for.

Sections follow Mitchell et al., "Model Cards for Model Reporting" (FAT* 2019).
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from linnet.pages.document import document
from linnet.records import (
    EvaluationReport,
    GateDecision,
    Interval,
    ModelPackage,
    TrainingReport,
    TrainingSetManifest,
)
from linnet.tasks.answer import answer_of_package
from linnet.vision.preprocessing import in_words

Table = tuple[tuple[str, ...], Sequence[tuple[str, ...]]]
Part = str | Table
CARD_FILE, PAGE_FILE = "model_card.md", "model_card.html"
_LIMITS = {
    False: "It always names one of these classes, also for an image of something else.",
    True: "It may name none of them, and may name some for an image of something else.",
}
"""By whether classes have thresholds."""
_STYLE = """
body{font:16px/1.5 system-ui;max-width:52rem;margin:2rem auto;padding:0 1rem}
:root{color-scheme:light dark}table{border-collapse:collapse;display:block;overflow-x:auto}
td,th{padding:.2rem .7rem;text-align:left;border-bottom:1px solid #8884}
"""


def write_card(
    out: Path,
    package: ModelPackage,
    decision: GateDecision,
    report: EvaluationReport,
    training: TrainingReport,
    about: TrainingSetManifest,
) -> None:
    """Writes model_card.md and model_card.html into `out`."""
    title = f"Model card: {package.name}"
    sections = _sections(package, decision, report, training, about)
    (out / CARD_FILE).write_text(_markdown(title, sections), "utf-8")
    (out / PAGE_FILE).write_text(_page(title, sections), "utf-8")


def _sections(
    package: ModelPackage,
    decision: GateDecision,
    report: EvaluationReport,
    training: TrainingReport,
    about: TrainingSetManifest,
) -> list[tuple[str, list[Part]]]:
    color = "gray" if package.channels == 1 else "RGB"
    some = "each that it shows" if package.thresholds else "one"
    use = (
        f"Names {some} of {len(package.classes)} classes for an image: {', '.join(package.classes)}. "
        f"Images are brought to {package.width} x {package.height} pixels ({package.fit}), {color}. "
        f"{_LIMITS[bool(package.thresholds)]} Decisions about people need a person."
    )
    counts = ", ".join(f"{count:,} {split}" for split, count in about.counts.items())
    data = (
        f"Dataset version {package.dataset_digest}, labels {about.labels_digest}; images: {counts}. "
        f"Features: {package.feature_service} ({', '.join(package.features)})."
    )
    trained = (
        f"{training.parameters:,} weights, {training.kept['epoch']:.0f} epochs in "
        f"{training.seconds:.0f} s on "
        f"{training.device} in {training.precision}; "
        + ", ".join(f"{key} {value}" for key, value in sorted(training.versions.items()))
        + f". Probabilities are calibrated with temperature {package.temperature:.4f}."
    )
    return [
        ("Intended use", [use]),
        ("Data", [data]),
        (
            "Training",
            [trained, *_backbone(training), *filter(None, [training.cross_validated]), *training.notes],
        ),
        ("Metrics", [f"On {report.samples:,} test images, with intervals.", _metrics(report)]),
        ("Classes", [_classes(report)]),
        ("Cohorts", [_cohorts(report)]),
        ("Gates of the package", [_gates(decision)]),
        ("Limits", _limits(report)),
        ("How to load", _loading(package)),
    ]


def _backbone(training: TrainingReport) -> list[Part]:
    if (weights := training.weights) is None:
        return []
    return [
        f"The backbone {weights.backbone} started from pretrained weights ({weights.origin}; licence: "
        f"{weights.license}; SHA-256 {weights.sha256}). What they were trained on is not in the data above."
    ]


def _metrics(report: EvaluationReport) -> Table:
    rows = [(name, *_three(interval)) for name, interval in sorted(report.metrics.items())]
    return ("metric", "value", "low", "high"), rows


def _classes(report: EvaluationReport) -> Table:
    rows = []
    for name in report.classes:
        found = report.per_class.get(name, {})
        numbers = (f"{found.get(key, float('nan')):.4f}" for key in ("precision", "recall", "f1"))
        rows.append((name, *numbers, f"{found.get('support', 0):.0f}"))
    return ("class", "precision", "recall", "F1", "images"), rows


def _cohorts(report: EvaluationReport) -> Table:
    rows = [(c.cohort, c.value, f"{c.samples:,}", *_three(c.accuracy)) for c in report.cohorts]
    return ("cohort", "value", "images", "accuracy", "low", "high"), rows


def _gates(decision: GateDecision) -> Table:
    rows = [(g.name, "pass" if g.passed else "fail", g.evidence) for g in decision.gates]
    return ("gate", "verdict", "evidence"), rows


def _limits(report: EvaluationReport) -> list[Part]:
    limits: list[Part] = []
    others = [c for c in report.cohorts if c.samples]
    if others:
        worst = min(others, key=lambda c: c.accuracy.value)
        limits.append(
            f"Weakest cohort: {worst.cohort} {worst.value}, accuracy {worst.accuracy.value:.4f} on "
            f"{worst.samples:,} images."
        )
    limits.append(
        f"{report.suspects_counted} test labels are doubtful; where they are wrong, so are the numbers "
        "above. The numbers hold for images like those of the test split, and say nothing of others."
    )
    return limits


def _loading(package: ModelPackage) -> list[Part]:
    features, answer = len(package.features), answer_of_package(package)
    row = ", ".join(map(str, answer.row_shape(package.height, package.width)))
    return [
        in_words(package.height, package.width, package.channels, package.fit),
        "With the server: `python -m linnet.serving --package FOLDER --version VERSION`.",
        f"With ONNX Runtime: model.onnx takes image uint8 [N, {package.height}, {package.width}, "
        f"{package.channels}] and features float32 [N, {features}] and gives {answer.output_name} float32 "
        f"[N, {row}] and embedding float32 [N, D]; preprocessing is inside.",
        f"blake2b digest of model.onnx: {package.model_digest}.",
    ]


def _three(interval: Interval) -> tuple[str, str, str]:
    return f"{interval.value:.4f}", f"{interval.low:.4f}", f"{interval.high:.4f}"


def _markdown(title: str, sections: list[tuple[str, list[Part]]]) -> str:
    lines = [f"# {title}", ""]
    for heading, parts in sections:
        lines += [f"## {heading}", ""]
        for part in parts:
            if isinstance(part, str):
                lines += [part, ""]
                continue
            header, rows = part
            cells = [header, tuple("---" for _ in header), *rows]
            lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
            lines.append("")
    return "\n".join(lines)


def _page(title: str, sections: list[tuple[str, list[Part]]]) -> str:
    body = [f"<h1>{html.escape(title)}</h1>"]
    for heading, parts in sections:
        body.append(f"<h2>{html.escape(heading)}</h2>")
        for part in parts:
            if isinstance(part, str):
                body.append(f"<p>{html.escape(part)}</p>")
                continue
            header, rows = part
            body.append("<table><tr>" + "".join(f"<th>{html.escape(c)}</th>" for c in header) + "</tr>")
            body += ["<tr>" + "".join(f"<td>{html.escape(c)}</td>" for c in row) + "</tr>" for row in rows]
            body.append("</table>")
    return document(title, _STYLE, "".join(body))
