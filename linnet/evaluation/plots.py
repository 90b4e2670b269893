"""Pictures of the report as inline SVG: crisp on any screen, colored by the page's own variables.

Every function returns markup that is safe to place in a page; class names are escaped here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from html import escape

import numpy as np

from linnet.records import Interval
from linnet.statistics.intervals import wilson
from linnet.statistics.metrics import Ints
from linnet.statistics.reliability import ReliabilityBin

MOST_CLASSES = 24
"""Classes a confusion matrix shows; of more, those with the most mistakes."""


def whisker(interval: Interval, low: float, high: float, mark: float | None = None, good: bool = True) -> str:
    """A dot with its interval on the axis [low, high]; `mark` is drawn as a line across."""
    if not np.isfinite([interval.value, interval.low, interval.high]).all() or high <= low:
        return ""

    def x(value: float) -> str:
        return f"{4 + 152 * (min(max(value, low), high) - low) / (high - low):.1f}"

    line = f'<line class="mark" x1="{x(mark)}" x2="{x(mark)}" y1="1" y2="19"/>' if mark is not None else ""
    tone = "good" if good else "bad"
    return (
        '<svg class="whisker" viewBox="0 0 160 20" role="img" aria-label="interval">'
        f'<line class="rail" x1="4" x2="156" y1="10" y2="10"/>{line}'
        f'<line class="span {tone}" x1="{x(interval.low)}" x2="{x(interval.high)}" y1="10" y2="10"/>'
        f'<circle class="dot {tone}" cx="{x(interval.value)}" cy="10" r="3.6"/></svg>'
    )


def axis_around(intervals: Sequence[Interval], *marks: float) -> tuple[float, float]:
    """An axis that holds all intervals and marks with a little air."""
    values = [v for one in intervals for v in (one.low, one.high) if np.isfinite(v)]
    values += [mark for mark in marks if np.isfinite(mark)]
    if not values:
        return 0.0, 1.0
    air = max((max(values) - min(values)) * 0.08, 1e-4)
    return min(values) - air, max(values) + air


def shown_classes(confusion: Ints) -> Ints:
    """Classes that the confusion matrix shows, in label order."""
    mistakes = confusion.sum(axis=0) + confusion.sum(axis=1) - 2 * np.diagonal(confusion)
    worst: Ints = np.sort(np.argsort(-mistakes, kind="stable")[:MOST_CLASSES])
    return worst


def confusion_picture(
    confusion: Ints, classes: Sequence[str], images_of: Callable[[str, str], str] | None = None
) -> str:
    """The confusion matrix [K, K] as a grid: shade by share of the row, number by count.

    `images_of`: the address of the images of a true and a predicted class, which a cell then opens.
    """
    shown = shown_classes(confusion)
    cell, left, top = 46, 118, 96
    side = cell * len(shown)
    role = "group" if images_of else "img"  # an image has no links inside
    parts = [
        f'<svg class="confusion" viewBox="0 0 {left + side + 64} {top + side + 8}" role="{role}" '
        f'style="min-width:{(left + side) * 0.72:.0f}px" aria-label="confusion matrix">'
    ]
    totals = np.maximum(confusion.sum(axis=1), 1)
    for row, true in enumerate(shown):
        y = top + row * cell
        name = escape(_short(classes[true]))
        parts.append(
            f'<text class="name" x="{left - 8}" y="{y + cell / 2 + 4}" text-anchor="end">{name}</text>'
        )
        middle = left + row * cell + cell / 2
        parts.append(
            f'<text class="name" transform="translate({middle + 4},{top - 8}) rotate(-50)">{name}</text>'
        )
        for column, named in enumerate(shown):
            share = float(confusion[true, named] / totals[true])
            count = int(confusion[true, named])
            drawn = _cell(left + column * cell, y, cell, share, count, true == named)
            if images_of is not None and count:
                words = escape(f"{count} {classes[true]} predicted as {classes[named]}")
                target = escape(images_of(classes[true], classes[named]))
                drawn = f'<a href="{target}" aria-label="{words}"><title>{words}</title>{drawn}</a>'
            parts.append(drawn)
    parts.append("</svg>")
    return "".join(parts)


def _cell(x: int, y: int, size: int, share: float, count: int, own: bool) -> str:
    """One cell; mistakes are shaded by the square root, so that rare ones stay visible."""
    strength = share if own else share**0.5
    tone = "own" if own else "other"
    box = (
        f'<rect x="{x + 1}" y="{y + 1}" width="{size - 2}" height="{size - 2}" rx="4" class="{tone}" '
        f'fill-opacity="{0.04 + 0.86 * strength:.3f}"/>'
    )
    if not count:
        return box
    strong = " strong" if strength > 0.62 else ""
    return (
        f'{box}<text class="count{strong}" x="{x + size / 2}" y="{y + size / 2 + 4}" '
        f'text-anchor="middle">{count}</text>'
    )


def _short(name: str, longest: int = 15) -> str:
    return name if len(name) <= longest else name[: longest - 1] + "…"


def reliability_diagram(
    before: Sequence[ReliabilityBin], after: Sequence[ReliabilityBin], confidence: float
) -> str:
    """Accuracy against confidence a bin, before and after temperature scaling, around the diagonal."""
    bounds = [wilson(round(one.accuracy * one.samples), one.samples, confidence) for one in after]
    every = [v for one in (*before, *after) for v in (one.confidence, one.accuracy)]
    finite = [v for v in (*every, *(b.low for b in bounds)) if np.isfinite(v)]
    if not finite:
        return ""
    start = np.floor(min(finite) * 10) / 10
    start = float(min(max(start, 0.0), 0.9))
    size, left, top = 300, 54, 10

    def x(value: float) -> float:
        return round(left + size * (value - start) / (1.0 - start), 1)

    def y(value: float) -> float:
        return round(top + size - size * (value - start) / (1.0 - start), 1)

    parts = [
        f'<svg class="diagram" viewBox="0 0 {left + size + 16} {top + size + 44}" role="img" '
        'aria-label="reliability diagram">'
    ]
    for tick in np.linspace(start, 1.0, 6):
        parts.append(f'<line class="grid" x1="{left}" x2="{left + size}" y1="{y(tick)}" y2="{y(tick)}"/>')
        parts.append(
            f'<text class="tick" x="{left - 8}" y="{y(tick) + 4}" text-anchor="end">{tick:.2f}</text>'
        )
        parts.append(
            f'<text class="tick" x="{x(tick)}" y="{top + size + 18}" text-anchor="middle">{tick:.2f}</text>'
        )
    parts.append(f'<line class="ideal" x1="{x(start)}" y1="{y(start)}" x2="{x(1)}" y2="{y(1)}"/>')
    parts.append(
        f'<text class="tick" x="{left + size / 2}" y="{top + size + 36}" text-anchor="middle">'
        "confidence</text>"
    )
    parts.append(
        f'<text class="tick" transform="translate(11,{top + size / 2}) rotate(-90)" text-anchor="middle">'
        "accuracy</text>"
    )
    for one in before:
        parts.append(f'<circle class="before" cx="{x(one.confidence)}" cy="{y(one.accuracy)}" r="4"/>')
    for one, bound in zip(after, bounds, strict=True):
        parts.append(
            f'<line class="error" x1="{x(one.confidence)}" x2="{x(one.confidence)}" '
            f'y1="{y(bound.low)}" y2="{y(bound.high)}"/>'
        )
    for one in after:
        parts.append(f'<circle class="after" cx="{x(one.confidence)}" cy="{y(one.accuracy)}" r="4"/>')
    parts.append("</svg>")
    return "".join(parts)
