"""Chooses the samples to ask people about after a run, and queues the questions durably."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from linnet.config import LabelsConfig
from linnet.errors import DataError, StorageError
from linnet.labels.candidates import Candidates, read_candidates, read_images
from linnet.labels.collect import dataset_labels
from linnet.labels.select import select
from linnet.labels.store import database, to_micros, transaction
from linnet.labels.table import LabelTable
from linnet.records import DatasetManifest, EvaluationReport, Record, now

REQUESTS_FILE = "requests.json"


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


def request_labels(
    evaluation: Path, samples: Path, config: LabelsConfig, name: str, out: Path
) -> list[LabelRequest]:
    """Writes out/requests.json and appends its requests, with their images, to the dataset's queue.

    Idempotent: the same evaluation and budget are the same batch, and a batch that was queued comes
    back as it was. A new batch leaves out samples that people answered or that an earlier batch
    asked about. The queue needs neither the run nor the dataset any more: what is exported later, and
    after them, is the same.

    Args:
        evaluation: Folder of `evaluate` (evaluation.json, candidates.npz, predictions.npz).
        samples: Folder that `ingest` wrote; samples that are not in it are left out.
        config: The budget.
        name: The dataset's name.
        out: Folder for requests.json.

    Raises:
        DataError: the predictions or the sample table cannot be read.
        StorageError: the queue is damaged, or the disk is full.
    """
    report = EvaluationReport.load(evaluation / "evaluation.json")
    manifest = DatasetManifest.load(samples / "manifest.json")
    candidates = read_candidates(evaluation, report, dataset_labels(samples, manifest), name)
    batch = _batch(candidates, config)
    requests = _held(name, batch)
    if not requests:
        requests = _choose(candidates, batch, config, name, report.classes)
        chosen = {request.sample_id for request in requests}
        images = dict(read_images(samples, manifest, chosen - set(candidates.images)))
        images |= {key: candidates.images[key] for key in chosen & set(candidates.images)}
        requests = _queue(name, batch, requests, images)
    try:
        LabelRequests(batch=batch, requests=tuple(requests)).save(out / REQUESTS_FILE)
    except OSError as error:
        raise StorageError(f"{out}: the requests cannot be written ({error}); free some space") from error
    return requests


def is_queued(name: str, batch: str, count: int) -> bool:
    """Whether a batch of so many requests is in the queue; one of none is never known to be."""
    return count > 0 and len(_held(name, batch)) == count


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


def _batch(candidates: Candidates, config: LabelsConfig) -> str:
    """The batch that candidates and budget make: 16 hex digits."""
    text = json.dumps([candidates.digest, config.budget])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _held(name: str, batch: str) -> list[LabelRequest]:
    """The requests of a batch that was queued already."""
    sql = "SELECT request FROM requests WHERE batch = ? ORDER BY sequence"
    with transaction(database(name), write=False) as connection:
        rows = connection.execute(sql, (batch,)).fetchall()
    return [LabelRequest.model_validate_json(row[0]) for row in rows]


def _queue(
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


def _choose(
    candidates: Candidates, batch: str, config: LabelsConfig, name: str, classes: tuple[str, ...]
) -> list[LabelRequest]:
    """The batch's choice among the samples that nobody was asked about yet."""
    pool = candidates.pool
    done = {row.sample_id for row in LabelTable(name).history()}
    done |= {request.sample_id for request in queued(name)}
    wanted = [i for i, key in enumerate(pool.ids) if key not in done]
    rest = replace(
        pool,
        ids=[pool.ids[i] for i in wanted],
        probabilities=pool.probabilities[wanted],
        embeddings=pool.embeddings[wanted] if pool.embeddings is not None else None,
    )
    place = {key: i for i, key in enumerate(pool.ids)}
    requests: list[LabelRequest] = []
    for choice in select(rest, config.budget, seed=int(batch, 16)):
        said = np.nan_to_num(pool.probabilities[place[choice.sample_id]])
        top = int(said.argmax())
        label = candidates.labels.get(choice.sample_id, "")
        requests.append(
            LabelRequest(
                batch=batch,
                sample_id=choice.sample_id,
                reasons=choice.reasons,
                score=round(choice.score, 6),
                label=label,
                predicted=classes[top],
                confidence=round(float(said[top]), 6),
                probabilities=tuple(round(float(p), 6) for p in said),
                gold=label if choice.reasons[0] == "gold" else "",
                classes=classes,
            )
        )
    return requests
