"""The tables of the drift page: every quantity with its test, and classes with labels."""

from __future__ import annotations

from html import escape
from math import isfinite

from linnet.monitoring import charts
from linnet.records import DriftReport, PerformanceReport


def all_tests(report: DriftReport) -> str:
    """Every quantity of a window with its test and effect."""
    if not report.tests:
        return ""
    rows = "".join(
        f"<tr><td>{f'<b>{escape(t.name)}</b>' if t.drifted else escape(t.name)}</td><td>{t.test}</td>"
        f'<td>{charts.bar(t)}</td><td class="n">{t.effect:.3f}</td>'
        f'<td class="n">{_p_value(t.adjusted)}</td><td class="n">{_or_dash(t.psi)}</td>'
        f'<td class="n">{_or_dash(t.wasserstein)}</td></tr>'
        for t in sorted(report.tests, key=lambda test: -test.severity)
    )
    return (
        "<h2>All quantities</h2><p class=soft>The dashed line is the smallest effect that matters. "
        f"p-values are adjusted (Benjamini-Hochberg); this window may spend {report.level:.2g} (LORD++).</p>"
        f"<div class=wide><table><tr><th>Quantity<th>Test<th>Effect<th class=n><th class=n>Adjusted p"
        f"<th class=n>PSI<th class=n>Wasserstein</tr>{rows}</table></div>"
    )


def class_recalls(performance: PerformanceReport | None) -> str:
    """What labels say of each class, beside what was so at release."""
    if performance is None or not performance.confusion_drift:
        return ""
    rows = "".join(
        f"<tr><td>{escape(one.label)}<td class=n>{one.rows:,}<td class=n>{one.recall.value:.1%}"
        f"<td class=n>{one.recall.low:.1%} to {one.recall.high:.1%}<td class=n>{one.reference_recall:.1%}"
        f"<td>{'changed' if one.drifted else ''}"
        for one in sorted(
            performance.confusion_drift, key=lambda one: one.recall.value - one.reference_recall
        )
    )
    return (
        "<h2>With labels</h2><div class=wide><table><tr><th>Class<th class=n>Labels<th class=n>Recall"
        f"<th class=n>Interval<th class=n>At release<th>Predicted as</tr>{rows}</table></div>"
    )


def segment_accuracies(performance: PerformanceReport | None) -> str:
    """How well each group of users is served, beside what it had in earlier windows."""
    if performance is None or not performance.segments:
        return ""
    rows = "".join(
        f"<tr><td>{escape(one.segment)}<td>{escape(one.value)}<td class=n>{one.labelled:,}"
        f"<td class=n>{one.accuracy.value:.1%}<td class=n>{one.accuracy.low:.1%} to {one.accuracy.high:.1%}"
        f"<td class=n>{'–' if one.reference is None else f'{one.reference:.1%}'}"
        f"<td class=n>{performance.falls.get(f'{one.segment}={one.value}', 0.0):.1%}"
        for one in sorted(performance.segments, key=lambda one: one.accuracy.value)
    )
    return (
        "<h2>Groups of users</h2><div class=wide><table><tr><th>Segment<th>Value<th class=n>Labels"
        "<th class=n>Accuracy<th class=n>Interval<th class=n>Before<th class=n>Proven fall"
        f"</tr>{rows}</table></div>"
    )


def _p_value(value: float) -> str:
    return "&lt; 1e-300" if value < 1e-300 else f"{value:.2g}"


def _or_dash(value: float | None) -> str:
    return "–" if value is None or not isfinite(value) else f"{value:.3f}"
