"""The label queue. Records in, markup out."""

from __future__ import annotations

from linnet.console.markup import (
    Html,
    address,
    chip,
    empty,
    join,
    link,
    of_all,
    prose,
    table,
    tag,
    tile,
    tiles,
    when,
)
from linnet.labels.status import LabelStatus
from linnet.pages.numbers import duration, percent


def queue(found: LabelStatus | None) -> Html:
    """What waits for people, how fast and how alike they answer, and the rounds that are complete."""
    if found is None:
        return empty(
            "Nobody was asked anything yet", "A run ends by asking about the samples worth a person's time."
        )
    answers = ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in found.answers.items())
    oldest = join(["the oldest since ", when(found.oldest_open, ago=True)]) if found.oldest_open else ""
    figures = tiles(
        tile("To export", f"{found.queued:,}", prose("`linnet labels export` sends them")),
        tile("Wait for people", f"{found.open:,}", oldest, "warn" if found.open else ""),
        tile("Answered", f"{found.done:,}", answers),
        tile("Median latency", duration(found.median_latency), "from export to answer"),
        tile("Agreement", percent(found.agreement, 0), f"{len(found.annotators)} annotators"),
    )
    if not found.rounds:
        return figures
    rows = [
        (
            tag("code", one.batch),
            when(one.closed_at),
            tag("code", one.version.rsplit("/", 1)[-1] or "–"),
            link(one.run_id, address("runs", one.run_id)) if one.run_id else chip("no run yet"),
        )
        for one in found.rounds[::-1][:10]
    ]
    shown = table(("Round", "Complete", "?Label set", "Caused"), rows, "Labelling rounds")
    note = of_all(len(rows), len(found.rounds), "rounds, the newest")
    return join([figures, tag("div", shown, note, style="margin-top:12px")])


def tile_of(found: LabelStatus | None) -> Html:
    """The backlog for the overview."""
    if found is None:
        return tile("Label backlog", "–", "nobody was asked yet", "", "/data#labels")
    note = f"{found.queued:,} to export" if found.queued else "all exported"
    return tile("Label backlog", f"{found.open:,}", note, "warn" if found.open else "", "/data#labels")
