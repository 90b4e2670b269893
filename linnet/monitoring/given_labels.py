"""Which answer a label was given for: clients name requests, and may use a name again for another image."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from linnet.monitoring.log_reader import read_feedback
from linnet.records.prediction_log import served_files, served_schema, written_at

Image = tuple[str, int, str | None]
"""Request id, image in the request, sample id: what was answered."""
Answered = tuple[str, int, datetime, str | None]
"""Request id, image in the request, moment of the answer, sample id."""
Labels = dict[Image, tuple[str, datetime]]
"""Label and arrival of each image that has one."""

_SPILL = timedelta(hours=1)
"""A row's file is written later than the row was answered, by far less than this earlier."""
_CLOCKS = timedelta(minutes=1)
"""The clock that stamped a label may be behind that of the answer, by far less than this."""


@dataclass(frozen=True, slots=True)
class GivenLabels:
    """The labels of answers, each given for that image."""

    labels: Labels
    notes: tuple[str, ...] = ()
    """Request ids that were used again, labels that contradict each other, labels without an answer."""
    damaged: tuple[str, ...] = ()
    """Files and rows of labels that cannot be read."""
    unread: tuple[str, ...] = ()
    """Files of the log that cannot be read, and may hold answers that a label was given for."""


def given_labels(log: Path, model: str, answers: Iterable[Answered], start: datetime) -> GivenLabels:
    """The labels of `answers`, which `model` gave from `start` on.

    A label is of the image that its request id and index named when it came: the pixels of the newest
    answer by then, of any version. Every answer of that id to these pixels (a retry, a mirrored request)
    has it. What the log answered from `start` on is looked at too, as an id may have been used again since.
    """
    feedback = read_feedback(log, model)
    used: dict[tuple[str, int], set[tuple[datetime, str | None]]] = defaultdict(set)
    asked = set()
    for request, index, at, sample in answers:
        if (request, index) in feedback.given:
            used[request, index].add((at, sample))
            asked.add((request, index, sample))
    rows, unread = _answers_of({request for request, _ in used}, log, model, start) if used else ([], [])
    for request, index, at, sample in rows:
        if (request, index) in used:
            used[request, index].add((at, sample))
    labels: Labels = {}
    early = 0
    for key, moments in used.items():
        ordered = sorted(moments, key=lambda one: one[0])
        for label, came in feedback.given[key]:
            place = answer_meant([at for at, _ in ordered], came)
            if place is not None and (image := (*key, ordered[place][1])) in asked:
                labels[image] = label, came
            early += place is None and came >= start
    return GivenLabels(labels, _notes(labels, used, early), feedback.damaged, tuple(unread))


def answer_meant(answered: Sequence[datetime], came: datetime) -> int | None:
    """Which of the answers of one name, by their moments in ascending order, a label was given for.

    The newest when it came; None: it is older than all of them.
    """
    place = bisect_right(answered, came) - 1
    return place if place >= 0 else 0 if answered[0] <= came + _CLOCKS else None


def _notes(
    labels: Labels, used: dict[tuple[str, int], set[tuple[datetime, str | None]]], early: int
) -> tuple[str, ...]:
    notes = []
    if again := sum(len({sample for _, sample in moments}) > 1 for moments in used.values()):
        notes.append(
            f"{again:,} request id(s) with labels name different images: a label counts for the image that "
            "its id named last before it came; send ids that are used once"
        )
    said: dict[str, set[str]] = defaultdict(set)
    for (_, _, sample), (label, _) in labels.items():
        if sample is not None:
            said[sample].add(label)
    if apart := sum(len(different) > 1 for different in said.values()):
        notes.append(f"{apart:,} image(s) came in several requests whose labels contradict each other")
    if early:
        notes.append(
            f"{early:,} label(s) are older than the answer they name, and not used: is a clock wrong?"
        )
    return tuple(notes)


def _answers_of(
    requests: set[str], log: Path, model: str, start: datetime
) -> tuple[list[Answered], list[str]]:
    """What a model answered to requests of these ids from `start` on; and files that cannot be read."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    schema = served_schema()
    wanted = ds.field("request_id").isin(sorted(requests)) & (ds.field("model") == model) & ds.field("ok")
    wanted &= ds.field("at") >= pa.scalar(start, schema.field("at").type)
    found: list[Answered] = []
    unread: list[str] = []
    for path in served_files(log, lambda error: unread.append(f"{error.filename}: {error.strerror}")):
        try:
            if written_at(path) < start - _SPILL:
                continue
            source = ds.dataset(str(path), schema=schema, format="parquet")
            table = source.to_table(columns=["request_id", "index", "at", "sample_id"], filter=wanted)
        except FileNotFoundError:  # it was replaced or deleted just now
            continue
        except (OSError, ValueError, pa.ArrowException) as error:
            unread.append(f"{path.name}: {error}")
            continue
        columns = [table[name].to_pylist() for name in table.column_names]
        found += [
            (request, index or 0, at, sample) for request, index, at, sample in zip(*columns, strict=True)
        ]
    return found, unread
