"""How labelling stands: counts, latency, agreement and the annotators, from the labels' file alone."""

from __future__ import annotations

import statistics
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

from linnet.labels.agreement import AnnotatorQuality, fleiss_kappa, mean_cohen_kappa, quality, votes_of
from linnet.labels.consensus import misread, votes
from linnet.labels.export import unanswered
from linnet.labels.queue import task_of
from linnet.labels.rounds import Round, Rounds
from linnet.labels.table import LabelRow, LabelTable
from linnet.records import now
from linnet.tasks.agree import agreement_of


@dataclass(frozen=True, slots=True)
class LabelStatus:
    """The labels of one dataset at a moment."""

    queued: int
    """Requests that were not exported yet."""
    open: int
    """Tasks that wait for somebody."""
    done: int
    """Tasks with all their answers."""
    lost: int
    """Tasks that somebody deleted."""
    answers: dict[str, int]
    """Answers that count now, by status."""
    quarantined: int
    latencies: tuple[float, ...]
    """Seconds from export to answer, of every answer."""
    oldest_open: datetime | None
    """When the oldest open task was exported."""
    agreement: float | None
    """How far a sample's other annotators agree, on average."""
    fleiss: float | None
    cohen: float | None
    annotators: list[AnnotatorQuality]
    reasons: dict[str, int]
    """Answers by the reason why their sample was chosen."""
    rounds: tuple[Round, ...]

    @property
    def median_latency(self) -> float | None:
        """Seconds; None before the first answer."""
        return statistics.median(self.latencies) if self.latencies else None


def status(name: str) -> LabelStatus:
    """How the labels of dataset `name` stand now.

    Raises:
        StorageError: the label file is damaged.
    """
    rounds, table = Rounds(name), LabelTable(name)
    history = table.history()
    current = table.as_of(now()) if history else []
    tasks = list(rounds.tasks().values())
    waiting = unanswered(tasks, history)
    task = task_of(name)
    given = votes_of((row.sample_id, row.annotator, row.label) for row in votes(current, task))
    known = [one for one in rounds.requests().values() if one.gold and not misread(one.gold, task)]
    agree = agreement_of(task)
    people = quality(given, {one.sample_id: one.gold for one in known}, agree)
    shares = [one.agreement for one in people if one.agreement is not None]
    return LabelStatus(
        queued=len(rounds.unexported()),
        open=len(waiting),
        done=sum(not task.gone for task in tasks) - len(waiting),
        lost=sum(bool(task.gone) for task in tasks),
        answers=dict(Counter(row.status for row in current)),
        quarantined=len(table.quarantined()),
        latencies=tuple(row.latency for row in _first_answers(history) if row.latency is not None),
        oldest_open=min((task.exported_at for task in waiting), default=None),
        agreement=sum(shares) / len(shares) if shares else None,
        fleiss=fleiss_kappa(given, agree),
        cohen=mean_cohen_kappa(given, agree),
        annotators=people,
        reasons=dict(Counter(row.reason or "unknown" for row in current)),
        rounds=tuple(rounds.closed().values()),
    )


def _first_answers(history: list[LabelRow]) -> list[LabelRow]:
    """Each annotator's first answer a sample and batch: a correction a week later is no latency."""
    first: dict[tuple[str, str, str], LabelRow] = {}
    for row in history:
        first.setdefault((row.batch, row.sample_id, row.annotator), row)
    return list(first.values())
