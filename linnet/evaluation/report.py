"""The page that shows a reviewer why a model was let through, or was not: `report.html`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from linnet.evaluation import page, plots
from linnet.evaluation.cohorts import comparison_note, stands_out
from linnet.evaluation.gates import judged_cohorts
from linnet.evaluation.sample_images import ReportData, confusions, mistakes, suspects
from linnet.pages.document import document
from linnet.pages.numbers import percent, signed
from linnet.records import EvaluationReport, Gate, GateDecision, Interval
from linnet.statistics.attainable import margin_of
from linnet.statistics.catalog import BY_KEY
from linnet.statistics.intervals import unknown
from linnet.statistics.paired import mcnemar
from linnet.tasks.score import CLASS, score_of

_ROWS = 60


def write_report(path: Path, report: EvaluationReport, decision: GateDecision, evidence: ReportData) -> None:
    """Writes the page, self-contained."""
    path.write_text(render(report, decision, evidence), "utf-8")


def render(report: EvaluationReport, decision: GateDecision, evidence: ReportData) -> str:
    """The page as HTML; every text that comes from data is escaped."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        number=number,
        bounds=bounds,
        plain=plain,
        percent=lambda value: percent(value, 2),
        signed=signed,
        title_of=title_of,
    )
    body = environment.from_string(page.TEMPLATE).render(_context(report, decision, evidence))
    verdict = "passed" if decision.verdict == "pass" else "failed"
    return document(f"Evaluation: {verdict}", page.STYLE, body)


def number(value: float, metric: str) -> str:
    """A metric's value as people write it: shares in percent, others with four digits."""
    return percent(value, 2) if BY_KEY[metric].share else plain(value)


def bounds(interval: Interval, metric: str) -> str:
    """An interval's two ends."""
    if not np.isfinite([interval.low, interval.high]).all():
        return "–"
    if BY_KEY[metric].share:
        return f"{100 * interval.low:.2f} – {100 * interval.high:.2f} %"
    return f"{interval.low:.4f} – {interval.high:.4f}"


def plain(value: float) -> str:
    """Four digits, or a word for what is no number."""
    return f"{value:.4f}" if np.isfinite(value) else "not known"


def title_of(name: str) -> str:
    """A gate's name for people."""
    if name == "non_inferiority":
        return "Non-inferiority"
    return BY_KEY[name].title if name in BY_KEY else name.replace("_", " ").capitalize()


def _context(report: EvaluationReport, decision: GateDecision, evidence: ReportData) -> dict[str, Any]:
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
        "report": report,
        "decision": decision,
        "metrics": report.metrics,
        "headline": headline,
        "not_finite": evidence.calibrated.not_finite,
        "gates": [(gate, Markup(_gate_picture(gate, report))) for gate in decision.gates],  # noqa: S704  SVG
        "remarks": evidence.remarks,
        "margin": margin_of(evidence.gates, report.samples, config.confidence),
        "explained": score_of(report.task).metrics,
        "tiles": [one for one in score_of(report.task).metrics if one.headline],
        "methods": page.METHODS,
        "level": f"{config.confidence:.0%}",
        "bins": config.calibration_bins,
        "validation_samples": evidence.validation_samples,
        "confusion": _confusion(report),
        "confusion_cut": f"; the {plots.MOST_CLASSES} classes with the most mistakes" if shown else "",
        "confusions": confusions(report),
        "diagram": Markup(_diagram(evidence, report.task)),  # noqa: S704  SVG made here
        **_comparison(report, evidence),
        **_tables(report, evidence),
        "mistakes": mistakes(report, evidence),
        "suspects": suspects(report, evidence),
    }


def _confusion(report: EvaluationReport) -> Any:
    from markupsafe import Markup

    if not report.confusion:
        return ""
    return Markup(plots.confusion_picture(np.array(report.confusion), report.classes))  # noqa: S704


def _gate_picture(gate: Gate, report: EvaluationReport) -> str:
    """The gate's interval with the threshold drawn in; a gate without one shows its value alone."""
    point = Interval(value=gate.value, low=gate.value, high=gate.value)
    interval = report.metrics.get(gate.name, point)
    if gate.name == "non_inferiority" and report.comparison is not None:
        interval = report.comparison.difference
    low, high = plots.axis_around([interval], gate.threshold)
    return plots.whisker(interval, low, high, gate.threshold, gate.passed)


def _comparison(report: EvaluationReport, evidence: ReportData) -> dict[str, Any]:
    from markupsafe import Markup

    if report.comparison is None:
        return {"difference_picture": "", "p_value": 1.0}
    difference = report.comparison.difference
    margin = -margin_of(evidence.gates, report.samples, evidence.evaluation.confidence)
    low, high = plots.axis_around([difference], margin, 0.0)
    picture = plots.whisker(difference, low, high, margin, difference.low > margin)
    p_value = mcnemar(report.comparison.candidate_only_right, report.comparison.champion_only_right)
    return {"difference_picture": Markup(picture), "p_value": p_value}  # noqa: S704  SVG made here


def _diagram(evidence: ReportData, task: str) -> str:
    before, after = evidence.uncalibrated, evidence.calibrated
    if after.not_finite:
        return ""
    score = score_of(task)
    bins, level = evidence.evaluation.calibration_bins, evidence.evaluation.confidence
    return plots.reliability_diagram(score.reliability(before, bins), score.reliability(after, bins), level)


def _tables(report: EvaluationReport, evidence: ReportData) -> dict[str, Any]:
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
