"""Two plots as SVG: the candidate's share of the traffic, and a metric with its band over time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape
from math import isfinite

from linnet.records import RolloutMark

LEFT, RIGHT, TOP, BOTTOM = 46, 14, 12, 20
LABEL_HEIGHT = 12
MOST_POINTS = 300
"""A line of more points is thinned: nobody sees the rest."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Maps seconds and values to pixels; values beyond the frame stop at its edge."""

    width: int
    height: int
    end: float
    low: float
    high: float

    def x(self, seconds: float) -> float:
        """Horizontal place of a moment."""
        span = self.width - LEFT - RIGHT
        return round(LEFT + span * min(max(seconds / max(self.end, 1e-9), 0.0), 1.0), 1)

    def y(self, value: float) -> float:
        """Vertical place of a value."""
        height = self.height - TOP - BOTTOM
        share = (min(max(value, self.low), self.high) - self.low) / max(self.high - self.low, 1e-12)
        return round(TOP + height * (1 - share), 1)

    def draw(self, body: str, labels: Iterable[tuple[float, str]], label: str) -> str:
        """The whole picture: body, axis, labels of values at the left and of time below."""
        bottom, right = self.height - BOTTOM, self.width - RIGHT
        texts, taken = "", [-99.0]
        for value, text in labels:  # one too close to another is left out
            y = self.y(value) + 4
            if min(abs(y - other) for other in taken) >= LABEL_HEIGHT:
                texts += f"<text x={LEFT - 6} y={y} text-anchor=end>{escape(text)}</text>"
                taken.append(y)
        axis = f"<line class=axis x1={LEFT} x2={right} y1={bottom} y2={bottom} />"
        time = f"<text x={LEFT} y={self.height - 5}>0 s</text>"
        time += f"<text x={right} y={self.height - 5} text-anchor=end>{self.end:.0f} s</text>"
        size = f"viewBox='0 0 {self.width} {self.height}'"
        return (
            f"<svg {size} role=img aria-label='{escape(label, quote=True)}'>{body}{axis}{texts}{time}</svg>"
        )


def share_plot(shares: list[tuple[float, int]], marks: Iterable[RolloutMark], ended: str, good: str) -> str:
    """Traffic over time as steps, with a flag wherever a person or the judge decided something.

    `shares`: (seconds, percent), the percent holding up to that moment; `ended`: the verdict in words;
    `good`: its class of color.
    """
    frame = Frame(720, 190, shares[-1][0], 0.0, 100.0)
    base = frame.y(0)
    points, before = [f"{LEFT},{base}"], 0.0
    texts, seen = "", None
    for seconds, percent in shares:
        points += [f"{frame.x(before)},{frame.y(percent)}", f"{frame.x(seconds)},{frame.y(percent)}"]
        if percent != seen:
            x, y = frame.x(before), max(frame.y(percent) - 5, 11)
            texts += f"<line class=step x1={x} x2={x} y1={TOP} y2={base} />"
            anchor = f"x={x - 4} text-anchor=end" if x > frame.width - 70 else f"x={x + 4}"
            texts += f"<text class=percent {anchor} y={y}>{percent} %</text>"
            seen = percent
        before = seconds
    points.append(f"{frame.x(before)},{base}")
    body, free = f"<polygon class=share points='{' '.join(points)}' />{texts}", 0.0
    for mark in marks:
        if mark.what.endswith("%"):
            continue
        x, title = frame.x(mark.seconds), " ".join(filter(None, (mark.what, mark.by, mark.reason)))
        word = "" if x < free or x > frame.width - 130 else mark.what  # the table below has all words
        free = max(free, x + 7 * len(word) + 8)
        body += (
            f"<g class=mark><title>{escape(title)}</title><line x1={x} x2={x} y1={TOP} y2={base} />"
            f"<circle cx={x} cy={base} r=4 /><text x={x + 6} y={base - 6}>{escape(word)}</text></g>"
        )
    x = frame.x(before)
    body += f"<line class='end {good}' x1={x} x2={x} y1={TOP} y2={base} />"
    body += f"<circle class={good} cx={x} cy={frame.y(seen or 0)} r=6 />"
    body += f"<text class='verdict {good}' x={x - 9} y={base - 8} text-anchor=end>{escape(ended)}</text>"
    return frame.draw(body, [(0.0, "0 %"), (50.0, "50 %"), (100.0, "100 %")], f"Traffic share; {ended}")


def metric_plot(
    series: list[tuple[float, float, float, float]],
    forbidden: tuple[float | None, float | None],
    labels: list[tuple[float, str]],
    steps: list[float],
    verdict: str,
    title: str,
) -> str:
    """One metric: estimate and band over time, and where it must not be.

    `series`: (seconds, low, estimate, high); `forbidden`: values below the first and above the second are
    not allowed; `steps`: moments at which the traffic changed.
    """
    thinned = series[:: max(len(series) // MOST_POINTS, 1)]
    if thinned[-1] is not series[-1]:
        thinned.append(series[-1])
    limits = [value for value in forbidden if value is not None]
    frame = Frame(352, 150, series[-1][0], *_range(series, limits))
    body, left, right, base = "", LEFT, frame.width - RIGHT, frame.height - BOTTOM
    for value, edge in zip(forbidden, (frame.low, frame.high), strict=True):
        if value is None:
            continue
        top, bottom = sorted((frame.y(value), frame.y(edge)))
        body += (
            f"<rect class=forbidden x={left} y={top} width={right - left} height={round(bottom - top, 1)} />"
        )
        body += f"<line class=margin x1={left} x2={right} y1={frame.y(value)} y2={frame.y(value)} />"
    for moment in steps:
        body += f"<line class=step x1={frame.x(moment)} x2={frame.x(moment)} y1={TOP} y2={base} />"
    upper = " ".join(f"{frame.x(at)},{frame.y(high)}" for at, _, _, high in thinned)
    lower = " ".join(f"{frame.x(at)},{frame.y(low)}" for at, low, _, _ in reversed(thinned))
    known = [(at, value) for at, _, value, _ in thinned if isfinite(value)]
    line = " ".join(f"{frame.x(at)},{frame.y(value)}" for at, value in known)
    body += f"<polygon class=band points='{upper} {lower}' /><polyline class=value points='{line}' />"
    last = known[-1][1] if known else (labels[0][0] if labels else frame.low)
    body += f"<circle class={verdict} cx={right} cy={frame.y(last)} r=5 />"
    return frame.draw(body, labels, title)


def _range(series: list[tuple[float, float, float, float]], limits: list[float]) -> tuple[float, float]:
    """Lowest and highest value to show: the limits and the latest band, with some air."""
    _, low, value, high = series[-1]
    seen = [number for number in (*limits, low, value, high) if isfinite(number)]
    if not seen:
        return 0.0, 1.0
    reach = max((abs(number) for number in limits), default=1.0)
    spread = max(max(seen) - min(seen), reach * 0.5, 1e-4)
    return min(seen) - 0.35 * spread, max(seen) + 0.35 * spread
