"""What several annotators of a sample hold together, by their task's idea of a majority."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from linnet.config import DEFAULT_TASK
from linnet.labels.table import LabelRow
from linnet.tasks.agree import agreement_of, consensus_of
from linnet.tasks.target import target_of


@dataclass(frozen=True, slots=True)
class Consensus:
    """What the annotators of one sample hold together; `label` is empty where they are tied."""

    sample_id: str
    label: str
    annotators: tuple[str, ...]
    """Those who gave the label; everybody where nobody gave it just so."""
    agreement: float
    """How far all who labelled the sample agree with it, on average; where they are tied, with the one of
    their labels that they agree with most."""
    labelled_at: datetime
    created_at: datetime
    votes: dict[str, int]
    batch: str = ""
    """The labelling round of the newest answer, and why the sample was in it."""
    reason: str = ""


def misread(label: str, task: str) -> str:
    """Why a label is none of the task, such as one that was given to an earlier task; empty: it is one."""
    target = target_of(task)
    try:
        target.read(target.cell(label))
    except ValueError as error:
        return f"it is no answer to {task}: {error}"
    return ""


def votes(rows: Iterable[LabelRow], task: str = DEFAULT_TASK) -> Iterator[LabelRow]:
    """The answers that say what a sample shows: not skipped, not "cannot tell", nor of an earlier task."""
    return (row for row in rows if row.status == "label" and not misread(row.label, task))


def consensus(rows: Iterable[LabelRow], task: str = DEFAULT_TASK) -> list[Consensus]:
    """What each sample's annotators say together; rows in order of sample_id, one an annotator.

    Answers that are no `votes` say nothing. A lone answer keeps the agreement that came with it.
    """
    by_sample = groupby(votes(rows, task), key=attrgetter("sample_id"))
    return [_together(list(group), task) for _, group in by_sample]


def _together(rows: list[LabelRow], task: str) -> Consensus:
    given, agreement = Counter(row.label for row in rows), agreement_of(task)
    found = consensus_of(task)([row.label for row in rows])
    label = "" if found is None else target_of(task).cell(found)
    shares = [
        sum(count * agreement(one, other) for other, count in given.items()) / len(rows)
        for one in ([label] if label else given)
    ]
    behind = [row for row in rows if row.label == label] or rows
    latest = max(behind, key=attrgetter("created_at", "labelled_at"))
    alone = rows[0].agreement if len(rows) == 1 else None
    return Consensus(
        sample_id=rows[0].sample_id,
        label=label,
        annotators=tuple(row.annotator for row in behind),
        agreement=max(shares) if alone is None else alone,
        labelled_at=max(row.labelled_at for row in behind),
        created_at=max(row.created_at for row in rows),
        votes=dict(sorted(given.items())),
        batch=latest.batch,
        reason=latest.reason,
    )
