"""A setting of several runs against a metric, as inline SVG: does the one move the other?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from linnet.console.curves import Scale, grid
from linnet.console.markup import Html

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT = 460, 220, 52, 12, 24


@dataclass(frozen=True)
class Dot:
    """One run: its letter, what it had of the setting (as text), and of the metric."""

    label: str
    x: str
    y: float


def scatter(dots: Sequence[Dot], x_name: str, y_name: str) -> Html:
    """The runs as lettered dots. A setting that is no number in every run is laid out as classes, side by side."""
    if not dots:
        return Html("")
    places = _places([dot.x for dot in dots])
    low, high = min(dot.y for dot in dots), max(dot.y for dot in dots)
    air = max((high - low) * 0.15, 1e-3)
    up = Scale(low - air, high + air, _TOP + _HEIGHT, -_HEIGHT)
    label = escape(f"{y_name} against {x_name}")
    parts = [
        f'<svg class="curve" viewBox="0 0 {_WIDTH} {_TOP + _HEIGHT + 40}" role="img" aria-label="{label}">'
    ]
    parts += grid(up, _LEFT, _WIDTH - _RIGHT, ".4g")
    for text in dict.fromkeys(dot.x for dot in dots):
        at = f'x="{places[text]}" y="{_TOP + _HEIGHT + 18}"'
        parts.append(f'<text class="tick" {at} text-anchor="middle">{escape(text[:12])}</text>')
    middle = f'x="{_LEFT + (_WIDTH - _LEFT - _RIGHT) / 2}" y="{_TOP + _HEIGHT + 35}"'
    parts.append(f'<text class="tick" {middle} text-anchor="middle">{escape(x_name)}</text>')
    for number, dot in enumerate(dots):
        x, y = places[dot.x], up(dot.y)
        words = escape(f"{dot.label}: {x_name} {dot.x}, {y_name} {dot.y:.5g}")
        parts.append(f'<circle class="k{number}" cx="{x}" cy="{y}" r="5"><title>{words}</title></circle>')
        parts.append(f'<text x="{x + 9}" y="{y + 4}">{escape(dot.label)}</text>')
    return Html("".join(parts) + "</svg>")


def _places(texts: Sequence[str]) -> dict[str, float]:
    """Where each value of the setting stands, from left to right."""
    start, size = _LEFT + 24, _WIDTH - _LEFT - _RIGHT - 48
    try:
        numbers = {text: float(text) for text in texts}
    except ValueError:
        names = sorted(set(texts))
        return {name: round(start + size * (at + 0.5) / len(names), 1) for at, name in enumerate(names)}
    low, high = min(numbers.values()), max(numbers.values())
    span = high - low or 1.0
    middle = 0.0 if high > low else size / 2
    return {text: round(start + middle + size * (value - low) / span, 1) for text, value in numbers.items()}
