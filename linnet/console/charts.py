"""Pictures of the console as inline SVG, beside those that the evaluation's report already draws."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from urllib.parse import quote

from linnet.console.markup import Html, when
from linnet.launch.graph import PipelineTask

_BOX, _HIGH, _GAP_X, _GAP_Y = 136, 46, 26, 16
_ACROSS = 6
"""Steps side by side; the graph goes on below, so that it fits a screen."""


def dag(tasks: Sequence[PipelineTask], states: dict[str, tuple[str, str]], picked: str, target: str) -> Html:
    """The steps of a run as a graph from left to right; `states`: state and remark a task.

    A step links to `target` + its name. What a gate holds back hangs on a dashed line.
    """
    column, row = _places(tasks)
    across = min(_ACROSS, max(column.values(), default=0) + 1)
    bands = [
        max((row[name] for name in column if column[name] // _ACROSS == band), default=0) + 1
        for band in range(3)
    ]
    tops = [sum(bands[:band]) * (_HIGH + _GAP_Y) + band * _GAP_Y for band in range(3)]
    last = max(column.values(), default=0) // _ACROSS
    width = across * (_BOX + _GAP_X) - _GAP_X + 4
    height = tops[last] + bands[last] * (_HIGH + _GAP_Y) - _GAP_Y + 4
    parts = [
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="group" aria-label="Steps">'
    ]

    def corner(name: str) -> tuple[int, int]:
        band, place = divmod(column[name], _ACROSS)
        return 2 + place * (_BOX + _GAP_X), 2 + tops[band] + row[name] * (_HIGH + _GAP_Y)

    by_name = {task.name: task for task in tasks}
    for task in tasks:
        for need in _direct(task, by_name):
            gate = set(task.conditions) - set(by_name[need].conditions)
            parts.append(_edge(corner(need), corner(task.name), bool(gate)))
    for task in tasks:
        state, remark = states.get(task.name, ("waiting", ""))
        left, upper = corner(task.name)
        style = f"box {state}{' picked' if task.name == picked else ''}"
        label = f"{task.name}: {state}" + (f", {remark}" if remark else "")
        parts.append(
            f'<a href="{escape(target + quote(task.name, safe=""))}" class="{state}"><title>{escape(label)}</title>'
            f'<rect class="{style}" x="{left}" y="{upper}" width="{_BOX}" height="{_HIGH}" rx="10"/>'
            f'<text class="label" x="{left + 12}" y="{upper + 20}">{_mark(state)}{escape(task.name)}</text>'
            f'<text class="sub" x="{left + 12}" y="{upper + 36}">{escape(remark or state)}</text></a>'
        )
    parts.append("</svg>")
    return Html(
        f'<div class="dag" tabindex="0" role="region" aria-label="Graph of the run">{"".join(parts)}</div>'
    )


def _mark(state: str) -> str:
    return {"succeeded": "✓ ", "failed": "✗ ", "refused": "✗ ", "running": "● "}.get(state, "")


def _edge(start: tuple[int, int], end: tuple[int, int], gate: bool) -> str:
    x1, y1 = start[0] + _BOX, start[1] + _HIGH / 2
    x2, y2 = end[0], end[1] + _HIGH / 2
    style = "edge gate" if gate else "edge"
    if x2 > x1:
        bend = (x1 + x2) / 2
        return f'<path class="{style}" d="M{x1} {y1}C{bend} {y1} {bend} {y2} {x2} {y2}"/>'
    # On to the next line: down from the box, along between the lines, and down into the next box.
    down, into = start[0] + _BOX / 2, end[0] + _BOX / 2
    between = end[1] - _GAP_Y
    return f'<path class="{style}" d="M{down} {start[1] + _HIGH}V{between}H{into}V{end[1]}"/>'


def _direct(task: PipelineTask, by_name: dict[str, PipelineTask]) -> list[str]:
    """What a task waits for, without what follows from the others; an exit handler hangs on nothing."""

    def reaches(start: str, goal: str) -> bool:
        return any(need == goal or reaches(need, goal) for need in by_name[start].needs)

    return [n for n in task.needs if n in by_name and not any(reaches(other, n) for other in task.needs)]


def _places(tasks: Sequence[PipelineTask]) -> tuple[dict[str, int], dict[str, int]]:
    """Column (longest way from the start) and row (first free one) of each task; handlers come last."""
    by_name = {task.name: task for task in tasks}
    column: dict[str, int] = {}
    for task in tasks:  # in an order that respects what they wait for
        column[task.name] = 1 + max((column[n] for n in task.needs if n in column), default=-1)
    last = max(column.values(), default=0)
    for task in tasks:
        if task.always:
            column[task.name] = last
    row: dict[str, int] = {}
    taken: set[tuple[int, int]] = set()
    waited_for = [need for task in tasks for need in task.needs]
    # What others wait for keeps to the straight line; a side branch goes below it.
    for task in sorted(tasks, key=lambda task: (column[task.name], -waited_for.count(task.name))):
        wanted = max((row[n] for n in _direct(task, by_name) if n in row), default=0)
        if task.always:
            wanted = 1
        while (column[task.name], wanted) in taken:
            wanted += 1
        taken.add((column[task.name], wanted))
        row[task.name] = wanted
    return column, row


def columns(counts: Sequence[tuple[int, int]], caption: str, most: int = 72) -> Html:
    """Requests an hour as columns, hours without any included; hours since the epoch, the last `most`."""
    if not counts:
        return Html("")
    by_hour = dict(counts)
    last = max(by_hour)
    hours = range(max(min(by_hour), last - most + 1), last + 1)
    top = max(by_hour.values())
    width, height = 760, 120
    step = min(width / len(hours), 40)
    bars = "".join(
        f'<rect class="own" x="{index * step + 1:.1f}" y="{height - height * by_hour.get(hour, 0) / top:.1f}" '
        f'width="{max(step - 2, 1):.1f}" height="{height * by_hour.get(hour, 0) / top:.1f}" rx="2">'
        f"<title>{by_hour.get(hour, 0):,}</title></rect>"
        for index, hour in enumerate(hours)
    )
    start, end = (datetime.fromtimestamp(hour * 3600, UTC) for hour in (hours[0], last))
    return Html(
        f'<svg class="curve wider" viewBox="0 0 {width} {height + 4}" role="img" aria-label="{escape(caption)}">'
        f'<line class="grid" x1="0" x2="{width}" y1="{height}" y2="{height}"/>{bars}</svg>'
        f'<div class="legend">{when(start)}<span style="margin-left:auto">at most {top:,} per hour, {when(end)}</span></div>'
    )
