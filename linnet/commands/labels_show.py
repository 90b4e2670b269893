"""How `linnet labels` shows its records in a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from linnet.labels.reconcile import Pulled
    from linnet.labels.status import LabelStatus


def show_status(now_is: LabelStatus, console: Console) -> None:
    """Prints queue, answers, people and rounds."""
    table = Table("labels", "", title_justify="left")
    hours = now_is.median_latency / 3600 if now_is.median_latency is not None else None
    kinds = [str(now_is.answers.get(kind, 0)) for kind in ("label", "skipped", "cannot_tell")]
    oldest = f"{now_is.oldest_open:%Y-%m-%d %H:%M}" if now_is.oldest_open else "-"
    rows: dict[str, object] = {
        "queued (not exported)": now_is.queued,
        "open tasks": now_is.open,
        "done": now_is.done,
        "deleted on the server": now_is.lost,
        "labels / skipped / cannot tell": " / ".join(kinds),
        "in quarantine": now_is.quarantined,
        "median labelling latency, hours": _number(hours),
        "oldest open task since (UTC)": oldest,
        "agreement": _number(now_is.agreement),
        "Fleiss' kappa / Cohen's kappa": f"{_number(now_is.fleiss)} / {_number(now_is.cohen)}",
    }
    for what, value in rows.items():
        table.add_row(what, str(value))
    console.print(table)
    if now_is.annotators:
        people = Table("annotator", "labels", "agree with others", "gold right")
        for one in now_is.annotators:
            gold = f"{one.gold_right:g} of {one.gold_total}" if one.gold_total else "-"
            people.add_row(one.annotator, str(one.labels), _number(one.agreement), gold)
        console.print(people)
    if now_is.rounds:
        rounds = Table("round", "closed (UTC)", "label set", "run")
        for one_round in now_is.rounds:
            file = Path(one_round.version).name if one_round.version else "-"
            rounds.add_row(
                one_round.batch, f"{one_round.closed_at:%Y-%m-%d %H:%M:%S}", file, one_round.run_id or "-"
            )
        console.print(rounds)


def summary_of(found: Pulled) -> str:
    """One look at the label server, in a sentence."""
    parts = [f"{found.added} new answers", f"{found.open} tasks open"]
    parts += [f"{found.quarantined} in quarantine"] if found.quarantined else []
    parts += [f"{found.more_asked} tasks need one more opinion"] if found.more_asked else []
    parts += [f"{found.lost} tasks were deleted on the server"] if found.lost else []
    parts += [f"round {batch} is complete" for batch in found.closed]
    return ", ".join(parts)


def table_of_reasons(reasons: list[str]) -> Table:
    """How many tasks were asked for each reason."""
    table = Table("asked because", "tasks")
    for reason in dict.fromkeys(reasons):
        table.add_row(reason, str(reasons.count(reason)))
    return table


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
