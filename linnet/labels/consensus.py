"""What several annotators of a sample hold together: the majority of their votes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from linnet.labels.table import LabelRow


@dataclass(frozen=True, slots=True)
class Consensus:
    """What the annotators of one sample hold together; `label` is empty where they are tied."""

    sample_id: str
    label: str
    annotators: tuple[str, ...]
    """Those who gave the label."""
    agreement: float
    """Their share of all who labelled the sample."""
    labelled_at: datetime
    created_at: datetime
    votes: dict[str, int]
    batch: str = ""
    """The labelling round of the newest answer, and why the sample was in it."""
    reason: str = ""


def consensus(rows: Iterable[LabelRow]) -> list[Consensus]:
    """The majority of each sample's annotators; rows in order of sample_id, one an annotator.

    Skipped and "cannot tell" answers are no votes. A lone answer keeps the agreement that came with it.
    """
    votes = (row for row in rows if row.status == "label")
    return [_majority(list(group)) for _, group in groupby(votes, key=attrgetter("sample_id"))]


def _majority(rows: list[LabelRow]) -> Consensus:
    votes = Counter(row.label for row in rows)
    most = max(votes.values())
    winners = [label for label, count in votes.items() if count == most]
    label = winners[0] if len(winners) == 1 else ""
    behind = [row for row in rows if row.label == label] or rows
    latest = max(behind, key=attrgetter("created_at", "labelled_at"))
    alone = rows[0].agreement if len(rows) == 1 else None
    return Consensus(
        sample_id=rows[0].sample_id,
        label=label,
        annotators=tuple(row.annotator for row in behind),
        agreement=most / len(rows) if alone is None else alone,
        labelled_at=max(row.labelled_at for row in behind),
        created_at=max(row.created_at for row in rows),
        votes=dict(sorted(votes.items())),
        batch=latest.batch,
        reason=latest.reason,
    )
