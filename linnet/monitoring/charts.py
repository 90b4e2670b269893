"""Pictures of a drift report as inline SVG and small images; nothing that a page could not show offline."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import numpy.typing as npt

from linnet.artifacts.reference import SortedSample
from linnet.records import CohortDrift, DriftTest

_WIDTH, _HEIGHT = 250, 84
_BINS = 28
_MOST_SEVERE = 4.0
"""A bar ends here: from four times what matters on, more is no news."""


def bar(test: DriftTest) -> str:
    """How large an effect is, as a bar; the line across is what matters."""
    width, mark = 220, 220 / _MOST_SEVERE
    length = max(2.0, min(max(test.severity, 0.0), _MOST_SEVERE) * mark)
    tone = "bad" if test.drifted else "calm"
    return (
        f'<svg class="bar" viewBox="0 0 {width} 18" role="img" aria-label="effect">'
        f'<rect class="rail" x="0" y="7" width="{width}" height="4" rx="2"/>'
        f'<rect class="{tone}" x="0" y="4" width="{length:.1f}" height="10" rx="3"/>'
        f'<line class="mark" x1="{mark}" x2="{mark}" y1="0" y2="18"/></svg>'
    )


def distributions(reference: SortedSample, window: npt.NDArray[np.floating]) -> str:
    """Reference (gray, filled) and window (colored line) as densities over one axis."""
    values = window[np.isfinite(window)]
    if not len(values) or not len(reference.points):
        return ""
    both = np.concatenate([reference.points, values])
    low, high = (float(v) for v in np.quantile(both, [0.002, 0.998]))
    if high <= low:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, _BINS + 1)
    shares = [_shares(part, edges) for part in (reference.points, values)]
    top = max(float(part.max()) for part in shares) or 1.0
    base = _HEIGHT - 16

    def points(part: npt.NDArray[np.float64]) -> str:
        steps = []
        for k, share in enumerate(part):
            y = base - (base - 6) * share / top
            steps += [f"{_WIDTH * k / _BINS:.1f},{y:.1f}", f"{_WIDTH * (k + 1) / _BINS:.1f},{y:.1f}"]
        return " ".join(steps)

    return (
        f'<svg class="plot" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="distributions">'
        f'<polygon class="then" points="0,{base} {points(shares[0])} {_WIDTH},{base}"/>'
        f'<polyline class="now" points="{points(shares[1])}"/>'
        f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{base}" y2="{base}"/>'
        f'<text x="0" y="{_HEIGHT - 3}">{low:.3g}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT - 3}" text-anchor="end">{high:.3g}</text></svg>'
    )


def class_mix(classes: Sequence[str], then: Sequence[float], now: Sequence[float], most: int = 12) -> str:
    """Share of each predicted class, reference above window: those that changed most, in label order.

    Of more than `most` classes it says how many are shown.
    """
    change = np.abs(np.asarray(now) - np.asarray(then))
    shown = sorted(np.argsort(-change, kind="stable")[:most])
    top = max(max(then[k], now[k]) for k in shown) or 1.0
    row, left, width = 26, 110, 210
    parts = []
    for place, k in enumerate(shown):
        y = place * row
        name = classes[k] if len(classes[k]) <= 15 else classes[k][:14] + "…"
        parts.append(
            f'<text class="name" x="{left - 8}" y="{y + 16}" text-anchor="end">{escape(name)}</text>'
        )
        for offset, share, tone in ((3, then[k], "then"), (12, now[k], "new")):
            parts.append(
                f'<rect class="{tone}" x="{left}" y="{y + offset}" width="{max(width * share / top, 1):.1f}" '
                f'height="8" rx="2"/>'
            )
        parts.append(f'<text x="{left + width + 6}" y="{y + 16}">{then[k]:.0%} → {now[k]:.0%}</text>')
    height = row * len(shown)
    return (
        f'<svg class="mix" viewBox="0 0 {left + width + 84} {height}" role="img" aria-label="class mix">'
        f"{''.join(parts)}</svg>"
        + (
            f"<small>the {most} of {len(classes):,} classes that changed most</small>"
            if classes[most:]
            else ""
        )
    )


def heat_map(cohorts: Sequence[CohortDrift], columns: Sequence[str], threshold: float) -> str:
    """Cohorts (rows) by columns: the darker, the further from the same cohort of before."""
    cell, left, top = 44, max([150, *(16 + 7 * len(cohort.name) for cohort in cohorts)]), 92
    parts = []
    for c, name in enumerate(columns):
        x = left + c * cell + cell / 2
        parts.append(
            f'<text class="name" transform="translate({x + 4},{top - 8}) rotate(-45)">{escape(name)}</text>'
        )
    for r, cohort in enumerate(cohorts):
        y = top + r * 26
        name, strong = escape(cohort.name), " strong" if cohort.drifted else ""
        parts.append(
            f'<text class="name{strong}" x="{left - 8}" y="{y + 17}" text-anchor="end">{name}</text>'
        )
        for c, column in enumerate(columns):
            effect = cohort.effects.get(column, float("nan"))
            effect = effect if np.isfinite(effect) else 1.0
            strength = min(max(effect - threshold / 2, 0.0) / 0.5, 1.0) ** 0.7
            light = " light" if strength > 0.6 else ""
            parts.append(
                f'<rect class="heat" x="{left + c * cell + 1}" y="{y + 1}" width="{cell - 2}" height="24" '
                f'rx="4" fill-opacity="{0.05 + 0.9 * strength:.3f}"/>'
                f'<text class="value{light}" x="{left + c * cell + cell / 2}" y="{y + 17}" '
                f'text-anchor="middle">{effect:.2f}</text>'
            )
    width, height = left + cell * len(columns) + 60, top + 26 * len(cohorts) + 4
    return (
        f'<svg class="heatmap" viewBox="0 0 {width} {height}" role="img" aria-label="cohorts">'
        f"{''.join(parts)}</svg>"
    )


def _shares(values: npt.NDArray[np.floating], edges: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    shares: npt.NDArray[np.float64] = counts / len(values)
    return shares
