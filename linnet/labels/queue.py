"""The queue of questions to people: durable, and independent of the run that asked them."""

from __future__ import annotations

from collections.abc import Mapping

from linnet.errors import DataError
from linnet.labels.store import database, to_micros, transaction
from linnet.records import Record, now


class LabelRequest(Record):
    """One question to people: which class is this sample?"""

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
    """What the model said, in the order of `classes`."""
    classes: tuple[str, ...] = ()
    gold: str = ""
    """The known answer, if it is asked to measure the annotators."""
    model: str = ""
    """Name of the model that said so, for people; empty: the run's."""


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


def asked_classes(name: str) -> tuple[str, ...]:
    """The dataset's classes, as the newest request knows them.

    Raises:
        DataError: no run has asked about a sample yet.
    """
    requests = queued(name)
    if not requests:
        problem, remedy = "no run has asked about a sample yet", "`linnet run` does, at its end"
        raise DataError(f"labels of '{name}'", problem, remedy)
    return requests[-1].classes


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
