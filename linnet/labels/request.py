"""Chooses the samples to ask people about after a run, and queues the questions durably."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from linnet.config import LabelsConfig
from linnet.errors import DataError, StorageError
from linnet.labels.collect import dataset_labels
from linnet.labels.select import Choice, Pool, select
from linnet.labels.store import database, micros, transaction
from linnet.labels.table import LabelTable
from linnet.records import DatasetManifest, EvaluationReport, Record, now

REQUESTS_FILE = "requests.json"


class LabelRequest(Record):
    """One question to people: which class is this sample?"""

    batch: str
    """Labelling round; with the sample_id it is the idempotency key."""
    sample_id: str
    reasons: tuple[str, ...]
    """Why it was chosen: random, suspect, margin, entropy, diverse; the first one took it."""
    score: float
    label: str
    """The label it has now."""
    predicted: str
    confidence: float


class LabelRequests(Record):
    """One labelling round: `requests.json`."""

    batch: str
    requests: tuple[LabelRequest, ...]


def request_labels(
    evaluation: Path, samples: Path, config: LabelsConfig, name: str, out: Path
) -> list[LabelRequest]:
    """Writes out/requests.json and appends its requests to the dataset's queue.

    Idempotent: the same evaluation and budget are the same batch, and a batch that was queued comes
    back as it was. A new batch leaves out samples that people answered or that an earlier batch
    asked about.

    Args:
        evaluation: Folder of `evaluate` (evaluation.json, predictions.npz).
        samples: Folder that `ingest` wrote; samples that are not in it are left out.
        config: The budget.
        name: The dataset's name.
        out: Folder for requests.json.

    Raises:
        DataError: the predictions or the sample table cannot be read.
        StorageError: the queue is damaged, or the disk is full.
    """
    report = EvaluationReport.load(evaluation / "evaluation.json")
    given = dataset_labels(samples, DatasetManifest.load(samples / "manifest.json"))
    pool, batch = _pool(evaluation / "predictions.npz", report, config)
    answered = {row.sample_id for row in LabelTable(name).history()}
    with transaction(database(name), write=True) as connection:
        held = connection.execute(
            "SELECT batch, sample_id, request FROM requests ORDER BY sequence"
        ).fetchall()
        requests = [LabelRequest.model_validate_json(row[2]) for row in held if row[0] == batch]
        if not requests:
            open_or_done = answered | {row[1] for row in held}
            wanted = [i for i, key in enumerate(pool.ids) if key in given and key not in open_or_done]
            chosen = select(_subset(pool, wanted), config.budget)
            requests = _requests(batch, chosen, pool, given, report.classes)
            moment = micros(now())
            connection.executemany(
                "INSERT INTO requests (batch, sample_id, request, created_at) VALUES (?, ?, ?, ?)",
                [(batch, item.sample_id, item.model_dump_json(), moment) for item in requests],
            )
    try:
        LabelRequests(batch=batch, requests=tuple(requests)).save(out / REQUESTS_FILE)
    except OSError as error:
        raise StorageError(f"{out}: the requests cannot be written ({error}); free some space") from error
    return requests


def queued(name: str) -> list[LabelRequest]:
    """Every request ever queued for the dataset, in order; the export takes them from here."""
    with transaction(database(name), write=False) as connection:
        rows = connection.execute("SELECT request FROM requests ORDER BY sequence").fetchall()
    return [LabelRequest.model_validate_json(row[0]) for row in rows]


def _pool(path: Path, report: EvaluationReport, config: LabelsConfig) -> tuple[Pool, str]:
    """The model's outputs, and the batch that they and the budget make."""
    try:
        with path.open("rb") as stream, np.load(stream) as stored:
            ids = tuple(key.decode() for key in stored["ids"].tolist())
            probabilities = stored["probabilities"]
            embeddings = stored["embeddings"] if "embeddings" in stored.files else None
    except (OSError, ValueError, KeyError, AttributeError, BadZipFile) as error:
        raise DataError(str(path), f"the predictions cannot be read ({error})", "evaluate again") from error
    if probabilities.shape != (len(ids), len(report.classes)):
        wanted = (len(ids), len(report.classes))
        problem = f"probabilities are {probabilities.shape}, but samples and classes are {wanted}"
        raise DataError(str(path), problem, "evaluate again")
    digest = hashlib.blake2b(json.dumps([ids, report.suspects, config.budget]).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(probabilities).tobytes())
    return Pool(ids, probabilities, embeddings, report.suspects), digest.hexdigest()


def _subset(pool: Pool, wanted: list[int]) -> Pool:
    embeddings = pool.embeddings[wanted] if pool.embeddings is not None else None
    return Pool([pool.ids[i] for i in wanted], pool.probabilities[wanted], embeddings, pool.suspects)


def _requests(
    batch: str, chosen: list[Choice], pool: Pool, given: dict[str, str], classes: tuple[str, ...]
) -> list[LabelRequest]:
    place = {key: i for i, key in enumerate(pool.ids)}
    requests: list[LabelRequest] = []
    for choice in chosen:
        said = np.nan_to_num(pool.probabilities[place[choice.sample_id]])
        top = int(said.argmax())
        requests.append(
            LabelRequest(
                batch=batch,
                sample_id=choice.sample_id,
                reasons=choice.reasons,
                score=round(choice.score, 6),
                label=given[choice.sample_id],
                predicted=classes[top],
                confidence=round(float(said[top]), 6),
            )
        )
    return requests
