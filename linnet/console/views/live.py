"""A step under way: how far it is, what it measured so far, and what it takes of the machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from linnet.console.curves import Line, curves
from linnet.console.markup import Html, bar, card, join, section, tag, tile, tiles
from linnet.pages.numbers import duration
from linnet.records import StageRecord, now
from linnet.run.live import StepProgress
from linnet.run.usage import Usage

_SHOWN = (
    ("epoch", "Epoch", "{:.0f}"),
    ("loss", "Loss", "{:.4g}"),
    ("train_accuracy", "Training accuracy", "{:.4f}"),
    ("validation_accuracy", "Validation accuracy", "{:.4f}"),
    ("images_per_second", "Images per second", "{:,.0f}"),
)
"""Measurements that a training tells after each epoch: key, title, format."""


@dataclass(frozen=True)
class LiveStep:
    """What a step told so far."""

    stage: StageRecord
    progress: StepProgress | None = None
    rows: Sequence[Mapping[str, float]] = field(default=())
    usage: Sequence[Usage] = field(default=())


def under_way(live: LiveStep, of: int | None = None) -> Html:
    """The running step in figures and curves; `of`: the epochs that the run was asked for."""
    told = live.progress
    parts: list[object] = []
    if told is not None:
        left = "" if told.seconds_left is None else f" · {duration(told.seconds_left)} left"
        share = told.done / told.total
        parts += [tag("p", f"{told.what} · {100 * share:.0f} %{left}"), bar(share)]
    last = live.rows[-1] if live.rows else {}
    figures = [
        tile(title, form.format(last[key]) + (f" of {of}" if key == "epoch" and of else ""), "last epoch")
        for key, title, form in _SHOWN
        if key in last
    ]
    elapsed = (now() - live.stage.started_at).total_seconds()
    figures += [tile("So far", duration(elapsed)), *_now(live.usage)]
    parts += [tag("div", tiles(*figures), style="margin-top:14px")]
    name = live.stage.task.replace("_", "-")
    return join([section(f"Under way: {name}", card("", *parts)), history(live.rows), machine(live.usage)])


def history(rows: Sequence[Mapping[str, float]]) -> Html:
    """The curves of a training; nothing where no epoch is over."""
    accuracy = curves(
        [
            Line.of("validation accuracy", rows, "validation_accuracy"),
            Line.of("training accuracy", rows, "train_accuracy"),
        ],
        "Accuracy per epoch",
    )
    loss = curves([Line.of("training loss", rows, "loss")], "Loss per epoch")
    drawn = [card(title, one) for title, one in (("Accuracy", accuracy), ("Loss", loss)) if one]
    return tag("section", tag("div", *drawn, class_="grid two")) if drawn else Html("")


def machine(usage: Sequence[Usage]) -> Html:
    """Processors, memory and GPUs over the time of a step; nothing where nobody sampled."""
    if not usage:
        return Html("")
    rows = [
        {
            "minute": one.at / 60,
            "cpus": one.cpus,
            "memory": one.memory_mb / 1000,
            **({} if one.gpu is None else {"gpu": one.gpu, "held": (one.gpu_memory_mb or 0) / 1000}),
        }
        for one in usage
    ]

    def line(label: str, key: str) -> Line:
        return Line.of(label, rows, key, "minute")

    drawn = (
        ("Processors", curves([line("processors in use", "cpus")], "Processors in use", "minute")),
        (
            "Memory, GB",
            curves([line("memory", "memory"), line("on the GPUs", "held")], "Memory in GB", "minute"),
        ),
        ("GPU", curves([line("share of the time busy", "gpu")], "GPUs: share of the time busy", "minute")),
    )
    cards = [card(title, one) for title, one in drawn if one]
    return section("Machine", tag("div", *cards, class_="grid two"))


def _now(usage: Sequence[Usage]) -> list[Html]:
    if not usage:
        return []
    last = usage[-1]
    found = [
        tile("Processors", f"{last.cpus:.1f}", "in use now"),
        tile("Memory", f"{last.memory_mb / 1000:.2f} GB", "now"),
    ]
    if last.gpu is not None:
        held = f"{(last.gpu_memory_mb or 0) / 1000:.1f} GB taken"
        found.append(tile("GPU", f"{100 * last.gpu:.0f} %", held))
    return found
