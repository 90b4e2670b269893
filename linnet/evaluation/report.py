"""The page that shows a reviewer why a model was let through, or was not: `report.html`."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.config import EvaluationConfig, GatesConfig
from linnet.evaluation import page, plots
from linnet.evaluation.calibration import reliability
from linnet.evaluation.cohorts import CLASS, comparison_note, stands_out
from linnet.evaluation.compare import mcnemar
from linnet.evaluation.gates import judged_cohorts
from linnet.evaluation.intervals import unknown
from linnet.evaluation.metrics import Predictions
from linnet.records import EvaluationReport, Gate, GateDecision, Interval

_SHOTS = 24
_ROWS = 60
_THUMBNAIL = 112
_IN_PERCENT = {"accuracy", "macro_f1", "macro_precision", "macro_recall", "worst_recall"}
_TITLES = {
    "accuracy": "Accuracy",
    "macro_f1": "Macro F1",
    "worst_recall": "Worst class recall",
    "auc": "Macro AUC",
    "ece": "Calibration error",
    "cohort_gap": "Cohort gap",
    "non_inferiority": "Non-inferiority",
}


@dataclass(frozen=True)
class Evidence:
    """What the page shows beyond the report itself, for N test samples."""

    calibrated: Predictions
    uncalibrated: Predictions
    images: npt.NDArray[np.uint8]
    """[N, H, W, C]"""
    ids: Sequence[str]
    evaluation: EvaluationConfig
    gates: GatesConfig
    validation_samples: int
    remarks: tuple[str, ...] = ()
    """Sentences without a full stop, such as about how the champion was fed."""


def write_report(path: Path, report: EvaluationReport, decision: GateDecision, evidence: Evidence) -> None:
    """Writes the page, self-contained."""
    path.write_text(render(report, decision, evidence), "utf-8")


def render(report: EvaluationReport, decision: GateDecision, evidence: Evidence) -> str:
    """The page as HTML; every text that comes from data is escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        number=number,
        bounds=bounds,
        plain=plain,
        percent=percent,
        signed=signed,
        title_of=title_of,
        sign=_sign,
    )
    return environment.from_string(page.TEMPLATE).render(_context(report, decision, evidence))


def number(value: float, metric: str) -> str:
    """A metric's value as people write it: shares in percent, others with four digits."""
    return percent(value) if metric in _IN_PERCENT else plain(value)


def bounds(interval: Interval, metric: str) -> str:
    """An interval's two ends."""
    if not np.isfinite([interval.low, interval.high]).all():
        return "–"
    if metric in _IN_PERCENT:
        return f"{100 * interval.low:.2f} – {100 * interval.high:.2f} %"
    return f"{interval.low:.4f} – {interval.high:.4f}"


def plain(value: float) -> str:
    """Four digits, or a word for what is no number."""
    return f"{value:.4f}" if np.isfinite(value) else "not known"


def percent(value: float) -> str:
    """A share in percent."""
    return f"{100 * value:.2f} %" if np.isfinite(value) else "not known"


def signed(value: float) -> str:
    """Two digits with the sign."""
    return f"{value:+.2f}".replace("-", "−") if np.isfinite(value) else "not known"


def title_of(name: str) -> str:
    """A gate's name for people."""
    return _TITLES.get(name, name.replace("_", " ").capitalize())


def _sign(comparator: str) -> str:
    return {">=": "≥", "<=": "≤"}.get(comparator, comparator)


def _context(report: EvaluationReport, decision: GateDecision, evidence: Evidence) -> dict[str, Any]:
    from markupsafe import Markup

    failed = len(decision.reasons)
    headline = (
        f"Passed all {len(decision.gates)} gates"
        if decision.verdict == "pass"
        else f"Failed {failed} of {len(decision.gates)} gates"
    )
    config = evidence.evaluation
    shown = len(report.classes) > plots.MOST_CLASSES
    return {
        "style": Markup(page.STYLE),  # noqa: S704  a constant of this package
        "report": report,
        "decision": decision,
        "metrics": report.metrics,
        "headline": headline,
        "verdict": "passed" if decision.verdict == "pass" else "failed",
        "not_finite": evidence.calibrated.not_finite,
        "gates": [(gate, Markup(_gate_picture(gate, report))) for gate in decision.gates],  # noqa: S704  SVG
        "remarks": evidence.remarks,
        "margin": evidence.gates.non_inferiority_margin,
        "explained": page.EXPLAINED,
        "methods": page.METHODS,
        "level": f"{config.confidence:.0%}",
        "bins": config.calibration_bins,
        "validation_samples": evidence.validation_samples,
        "confusion": Markup(plots.confusion_picture(np.array(report.confusion), report.classes)),  # noqa: S704
        "confusion_cut": f"; the {plots.MOST_CLASSES} classes with the most mistakes" if shown else "",
        "confusions": _confusions(report),
        "diagram": Markup(_diagram(evidence)),  # noqa: S704  SVG made here
        **_comparison(report, evidence),
        **_tables(report, evidence),
        "mistakes": _mistakes(report, evidence),
        "suspects": _suspects(report, evidence),
    }


def _gate_picture(gate: Gate, report: EvaluationReport) -> str:
    """The gate's interval with the threshold drawn in; a gate without one shows its value alone."""
    point = Interval(value=gate.value, low=gate.value, high=gate.value)
    interval = report.metrics.get(gate.name, point)
    if gate.name == "non_inferiority" and report.comparison is not None:
        interval = report.comparison.difference
    low, high = plots.axis_around([interval], gate.threshold)
    return plots.whisker(interval, low, high, gate.threshold, gate.passed)


def _comparison(report: EvaluationReport, evidence: Evidence) -> dict[str, Any]:
    from markupsafe import Markup

    if report.comparison is None:
        return {"difference_picture": "", "p_value": 1.0}
    difference, margin = report.comparison.difference, -evidence.gates.non_inferiority_margin
    low, high = plots.axis_around([difference], margin, 0.0)
    picture = plots.whisker(difference, low, high, margin, difference.low > margin)
    p_value = mcnemar(report.comparison.candidate_only_right, report.comparison.champion_only_right)
    return {"difference_picture": Markup(picture), "p_value": p_value}  # noqa: S704  SVG made here


def _diagram(evidence: Evidence) -> str:
    if evidence.calibrated.not_finite:
        return ""
    bins = evidence.evaluation.calibration_bins
    before, after = reliability(evidence.uncalibrated, bins), reliability(evidence.calibrated, bins)
    return plots.reliability_diagram(before, after, evidence.evaluation.confidence)


def _tables(report: EvaluationReport, evidence: Evidence) -> dict[str, Any]:
    """Class and cohort rows with whiskers on one common axis."""
    from markupsafe import Markup

    overall = report.metrics["accuracy"].value
    level = evidence.evaluation.confidence
    shown = [row.accuracy for row in report.cohorts[:_ROWS]]
    low, high = plots.axis_around(shown, overall)
    low, high = max(0.0, low), min(1.0, high)
    judged = {(row.cohort, row.value) for row in judged_cohorts(report, evidence.gates.min_cohort_samples)}
    recalls = {row.value: row.accuracy for row in report.cohorts if row.cohort == CLASS}

    def drawn(interval: Interval, ordinary: bool) -> Any:
        return Markup(plots.whisker(interval, low, high, overall, ordinary))  # noqa: S704  SVG made here

    order = sorted(report.classes, key=lambda name: recalls.get(name, unknown()).high)
    others = [row for row in report.cohorts if row.cohort != CLASS]
    below = {
        (row.cohort, row.value): stands_out(row, len(report.cohorts), overall, level)
        for row in report.cohorts
    }
    return {
        "axis": f"{low:.2f} to {high:.2f}",
        "class_cut": f"; the worst {_ROWS} of {len(order)}" if len(order) > _ROWS else "",
        "class_rows": [
            report.per_class[name]
            | {
                "name": name,
                "picture": drawn(recalls.get(name, unknown()), not below.get((CLASS, name), False)),
            }
            for name in order[:_ROWS]
        ],
        "cohort_note": comparison_note(len(report.cohorts), level)
        + (f" Worst {_ROWS} of {len(others)}." if len(others) > _ROWS else ""),
        "cohort_rows": [
            {
                "cohort": row.cohort,
                "value": row.value,
                "accuracy": row.accuracy,
                "samples": row.samples,
                "low": below[row.cohort, row.value],
                "small": (row.cohort, row.value) not in judged,
                "picture": drawn(row.accuracy, not below[row.cohort, row.value]),
            }
            for row in others[:_ROWS]
        ],
    }


def _confusions(report: EvaluationReport, most: int = 12) -> list[tuple[str, str, int, float]]:
    """The commonest confusions: true class, predicted class, samples, share of the true class."""
    return [
        (report.classes[true], report.classes[named], count, count / sum(report.confusion[true]))
        for true, named, count in _confused(report)[:most]
    ]


def _confused(report: EvaluationReport) -> list[tuple[int, int, int]]:
    """Pairs of true and predicted class with their count, the commonest first."""
    counts = np.array(report.confusion)
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[: int((counts > 0).sum())]
    pairs = zip(*np.unravel_index(order, counts.shape), strict=True)
    return [(int(true), int(named), int(counts[true, named])) for true, named in pairs]


def _mistakes(report: EvaluationReport, evidence: Evidence) -> list[dict[str, str]]:
    predictions = evidence.calibrated
    if predictions.not_finite:
        return []
    found = []
    for true, named, count in _confused(report)[:_SHOTS]:
        pair = np.flatnonzero((predictions.labels == true) & (predictions.predicted == named))
        surest = int(pair[predictions.confidence[pair].argmax()])
        found.append(
            _shot(
                evidence,
                surest,
                "{} taken for <b>{}</b><br>{:.0f} % sure, {} of a kind",
                report.classes[true],
                report.classes[named],
                100 * predictions.confidence[surest],
                count,
            )
        )
    return found


def _suspects(report: EvaluationReport, evidence: Evidence) -> list[dict[str, str]]:
    predictions = evidence.calibrated
    position = {name: i for i, name in enumerate(evidence.ids)} if report.suspects else {}
    found = []
    for name in report.suspects[:_SHOTS]:
        i = position[name]
        label, own = int(predictions.labels[i]), predictions.probabilities[i]
        better = int(np.where(np.arange(len(own)) == label, -1.0, own).argmax())
        text = "labelled {} ({:.0f} %)<br><b>{}</b>? ({:.0f} %)"
        values = (report.classes[label], 100 * own[label], report.classes[better], 100 * own[better])
        found.append(_shot(evidence, i, text, *values))
    return found


def _shot(evidence: Evidence, i: int, text: str, *values: object) -> dict[str, Any]:
    """A picture with its caption; `values` are escaped into `text`."""
    from markupsafe import Markup

    return {
        "image": thumbnail(np.asarray(evidence.images[i])),
        "id": evidence.ids[i],
        "alt": f"test sample {evidence.ids[i]}",
        "text": Markup(text).format(*values),  # noqa: S704  a constant; format escapes the values
    }


def thumbnail(pixels: npt.NDArray[np.uint8]) -> str:
    """A data URI of an image uint8 [H, W, C], shrunk to at most 112 pixels a side."""
    from linnet.vision.decode import encode_png, resize

    height, width, channels = pixels.shape
    scale = min(1.0, _THUMBNAIL / max(height, width))
    size = partial(max, 1)
    small = resize(
        pixels, size(round(height * scale)), size(round(width * scale)), "gray" if channels == 1 else "rgb"
    )
    return "data:image/png;base64," + base64.b64encode(encode_png(np.ascontiguousarray(small))).decode()
