"""Curves of one run or of several, as inline SVG: a value is read by hovering, in a table, or as a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import isfinite

from linnet.console.markup import Html, join, table, tag

MOST = 10
"""Lines that one picture can tell apart: as many colors as the style sheet has."""
_DOTS = 120
"""Points of a line that can be hovered; a longer one shows each n-th of its values, and its last."""
_PLAIN = 30
"""Points of a line up to which each is seen as a dot; those of a longer one appear when hovered."""
_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT = 460, 180, 46, 8, 10


@dataclass(frozen=True)
class Line:
    """A line and its name; its points by their place, such as an epoch."""

    label: str
    points: tuple[tuple[float, float], ...]

    @staticmethod
    def of(label: str, rows: Sequence[Mapping[str, float]], key: str, x: str = "epoch") -> Line:
        """The line of a column; a row that lacks it, or has no number there, is no point."""
        pairs = ((row.get(x, at + 1.0), row.get(key, float("nan"))) for at, row in enumerate(rows))
        return Line(label, tuple((float(a), float(b)) for a, b in pairs if b is not None and isfinite(b)))


def curves(lines: Sequence[Line], caption: str, x_name: str = "epoch") -> Html:
    """Up to ten lines with legend and table; a single point is drawn as one. Empty where there is none."""
    drawn = [(at, line) for at, line in enumerate(lines[:MOST]) if line.points]  # each keeps its color
    if not drawn:
        return Html("")
    keys = [tag("span", tag("i", class_=f"k{at}"), line.label) for at, line in drawn]
    shown = [line for _, line in drawn]
    legend = tag("div", *keys, class_="legend")
    return join([_picture(drawn, caption, x_name), legend, _table(shown, caption, x_name)])


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high` laid out over `size` pixels from `start` on; a negative size goes up."""

    low: float
    high: float
    start: float
    size: float

    def __call__(self, value: float) -> float:
        """Where a value lies, in pixels."""
        return round(self.start + self.size * (value - self.low) / (self.high - self.low), 1)


def _scales(lines: Sequence[Line]) -> tuple[Scale, Scale]:
    places = [x for line in lines for x, _ in line.points]
    values = [y for line in lines for _, y in line.points]
    first, last = min(places), max(places)
    if first == last:  # one epoch: in the middle
        first, last = first - 1, last + 1
    low, high = min(values), max(values)
    air = max((high - low) * 0.08, 1e-3)
    is_share = low >= 0 and high <= 1.0  # has no room above one
    low, high = low - air, min(high + air, 1.0) if is_share else high + air
    return (
        Scale(first, last, _LEFT, _WIDTH - _LEFT - _RIGHT),
        Scale(low, high, _TOP + _HEIGHT, -_HEIGHT),
    )


def _picture(numbered: Sequence[tuple[int, Line]], caption: str, x_name: str) -> Html:
    across, up = _scales([line for _, line in numbered])
    parts = [
        f'<svg class="curve" viewBox="0 0 {_WIDTH} {_TOP + _HEIGHT + 36}" role="img" '
        f'aria-label="{escape(caption)}">'
    ]
    parts += grid(up, _LEFT, _WIDTH - _RIGHT, ".3g")
    for value in _marks([x for _, line in numbered for x, _ in line.points]):
        place = f'x="{across(value)}" y="{_TOP + _HEIGHT + 18}"'
        parts.append(f'<text class="tick" {place} text-anchor="middle">{value:.3g}</text>')
    middle = f'x="{_LEFT + (_WIDTH - _LEFT) / 2}" y="{_TOP + _HEIGHT + 33}"'
    parts.append(f'<text class="tick" {middle} text-anchor="middle">{escape(x_name)}</text>')
    for number, line in numbered:
        points = " ".join(f"{across(x)},{up(y)}" for x, y in line.points)
        parts.append(f'<polyline class="line k{number}" points="{points}"/>')
        style = f"k{number} hidden" if len(line.points) > _PLAIN else f"k{number}"
        for x, y in _dots(line):
            words = escape(f"{line.label}, {x_name} {x:g}: {y:.5g}")
            parts.append(
                f'<circle class="{style}" cx="{across(x)}" cy="{up(y)}" r="3"><title>{words}</title></circle>'
            )
    return Html("".join(parts) + "</svg>")


def grid(up: Scale, left: int, right: int, form: str) -> list[str]:
    """Five lines across a picture from `left` to `right`, each with its value in the format `form`."""
    parts = []
    for tick in range(5):
        value = up.low + (up.high - up.low) * tick / 4
        y = up(value)
        parts.append(f'<line class="grid" x1="{left}" x2="{right}" y1="{y}" y2="{y}"/>')
        parts.append(f'<text class="tick" x="{left - 8}" y="{y + 4}" text-anchor="end">{value:{form}}</text>')
    return parts


def _marks(places: Sequence[float]) -> list[float]:
    every = sorted(set(places))
    return sorted({every[0], every[len(every) // 2], every[-1]})


def _dots(line: Line) -> list[tuple[float, float]]:
    stride = -(-len(line.points) // _DOTS)
    return [*line.points[:-1:stride], line.points[-1]]


def _table(lines: Sequence[Line], caption: str, x_name: str) -> Html:
    """The same as numbers; a button in it makes a file of them (console.js)."""
    by_place = [dict(line.points) for line in lines]
    places = sorted({x for line in lines for x, _ in line.points})
    rows = [(f"{x:g}", *(f"{values[x]:.6g}" if x in values else "–" for values in by_place)) for x in places]
    heads = (f">{x_name.capitalize()}", *(f">{line.label}" for line in lines))
    save = tag("button", "Download CSV", type="button", class_="button", data_csv=caption)
    return tag("details", tag("summary", "Values"), save, table(heads, rows, caption), class_="values")
