"""The queue of questions to people: durable, and independent of the run that asked them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from linnet.config import DEFAULT_TASK
from linnet.errors import DataError
from linnet.labels.store import database, to_micros, transaction
from linnet.records import Record, now
from linnet.tasks.label_form import LabelForm, label_form_of


class LabelRequest(Record):
    """One question to people: what does this sample show?"""

    batch: str
    """Labelling round; with the sample_id it is the idempotency key."""
    sample_id: str
    reasons: tuple[str, ...]
    """Why it was chosen (the strategies of `select`); the first one took it."""
    score: float
    label: str
    """The label it has now; empty for a production request."""
    predicted: str
    confidence: float
    probabilities: tuple[float, ...] = ()
    """What the model said, as `Answer.packed` has it: of one or several classes, a probability each."""
    classes: tuple[str, ...] = ()
    gold: str = ""
    """The known answer, if it is asked to measure the annotators."""
    model: str = ""
    """Name of the model that said so, for people; empty: the run's."""
    task: str = DEFAULT_TASK
    """What is asked of an image; requests of earlier versions asked for one class."""


@dataclass(frozen=True, slots=True)
class Question:
    """What people are asked about every sample of a dataset."""

    classes: tuple[str, ...]
    task: str = DEFAULT_TASK

    def form(self) -> LabelForm:
        """The form that asks it.

        Raises:
            ConfigError: a class is called as another answer of the form.
        """
        return label_form_of(self.task, self.classes)


class LabelRequests(Record):
    """One labelling round: `requests.json`."""

    batch: str
    requests: tuple[LabelRequest, ...]


def is_queued(name: str, batch: str, count: int) -> bool:
    """Whether a batch of so many requests is in the queue; one of none is never known to be."""
    return count > 0 and len(queued_batch(name, batch)) == count


def queued(name: str) -> list[LabelRequest]:
    """Every request ever queued for the dataset, in order; the export takes them from here."""
    with transaction(database(name), write=False) as connection:
        rows = connection.execute("SELECT request FROM requests ORDER BY sequence").fetchall()
    return [LabelRequest.model_validate_json(row[0]) for row in rows]


def question_of(name: str) -> Question:
    """The dataset's question, as the newest request knows it.

    Raises:
        DataError: no run has asked about a sample yet.
    """
    newest = _newest(name)
    if newest is None:
        problem, remedy = "no run has asked about a sample yet", "`linnet run` does, at its end"
        raise DataError(f"labels of '{name}'", problem, remedy)
    return Question(newest.classes, newest.task)


def task_of(name: str) -> str:
    """The task of the dataset's labels; the default one where no run has asked about a sample yet."""
    newest = _newest(name)
    return DEFAULT_TASK if newest is None else newest.task


def queued_batch(name: str, batch: str) -> list[LabelRequest]:
    """The requests of a batch that was queued already."""
    sql = "SELECT request FROM requests WHERE batch = ? ORDER BY sequence"
    with transaction(database(name), write=False) as connection:
        rows = connection.execute(sql, (batch,)).fetchall()
    return [LabelRequest.model_validate_json(row[0]) for row in rows]


def enqueue(
    name: str, batch: str, requests: list[LabelRequest], images: Mapping[str, bytes]
) -> list[LabelRequest]:
    """Queues a batch whole, unless another process was quicker: then that one's requests count."""
    with transaction(database(name), write=True) as connection:
        sql = "SELECT request FROM requests WHERE batch = ? ORDER BY sequence"
        held = connection.execute(sql, (batch,)).fetchall()
        if held:
            return [LabelRequest.model_validate_json(row[0]) for row in held]
        moment = to_micros(now())
        connection.executemany(
            "INSERT INTO requests (batch, sample_id, request, created_at) VALUES (?, ?, ?, ?)",
            [(batch, item.sample_id, item.model_dump_json(), moment) for item in requests],
        )
        connection.executemany(
            "INSERT OR IGNORE INTO images (sample_id, image) VALUES (?, ?)", list(images.items())
        )
    return requests


def _newest(name: str) -> LabelRequest | None:
    with transaction(database(name), write=False) as connection:
        sql = "SELECT request FROM requests ORDER BY sequence DESC LIMIT 1"
        row = connection.execute(sql).fetchone()
    return LabelRequest.model_validate_json(row[0]) if row else None
