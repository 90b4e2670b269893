"""Chooses the samples to ask people about after a run, and queues the questions durably."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from linnet.artifacts.samples import dataset_labels, read_images
from linnet.config import LabelsConfig
from linnet.errors import StorageError
from linnet.labels.candidates import Candidates, read_candidates
from linnet.labels.queue import LabelRequest, LabelRequests, enqueue, queued, queued_batch
from linnet.labels.select import BY_CHANCE, SHARES, select
from linnet.labels.table import LabelTable
from linnet.records import DatasetManifest, EvaluationReport
from linnet.tasks.answer import answer_of
from linnet.tasks.target import target_of

REQUESTS_FILE = "requests.json"


def request_labels(
    evaluation: Path, samples: Path, config: LabelsConfig, name: str, out: Path, model: str = ""
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
        model: The name that the served model is registered by; empty: the dataset's.

    Raises:
        DataError: the predictions or the sample table cannot be read.
        StorageError: the queue is damaged, or the disk is full.
    """
    report = EvaluationReport.load(evaluation / "evaluation.json")
    manifest = DatasetManifest.load(samples / "manifest.json")
    candidates = read_candidates(evaluation, report, dataset_labels(samples, manifest), model or name)
    batch = _batch(candidates, config)
    requests = queued_batch(name, batch)
    if not requests:
        requests = _choose(candidates, batch, config, name, report)
        chosen = {request.sample_id for request in requests}
        images = dict(read_images(samples, manifest, chosen - set(candidates.images)))
        images |= {key: candidates.images[key] for key in chosen & set(candidates.images)}
        requests = enqueue(name, batch, requests, images)
    try:
        LabelRequests(batch=batch, requests=tuple(requests)).save(out / REQUESTS_FILE)
    except OSError as error:
        raise StorageError(f"{out}: the requests cannot be written ({error}); free some space") from error
    return requests


def _batch(candidates: Candidates, config: LabelsConfig) -> str:
    """The batch that candidates and budget make: 16 hex digits."""
    text = json.dumps([candidates.digest, config.budget, *(["requests"] if config.requests_only else [])])
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _choose(
    candidates: Candidates, batch: str, config: LabelsConfig, name: str, report: EvaluationReport
) -> list[LabelRequest]:
    """The batch's choice among the samples that nobody was asked about yet."""
    pool, target = candidates.pool, target_of(report.task)
    answer = answer_of(report.task, report.classes, report.thresholds)
    done = {row.sample_id for row in LabelTable(name).history()}
    done |= {request.sample_id for request in queued(name)}
    wanted = [i for i, key in enumerate(pool.ids) if key not in done]
    rest = replace(
        pool,
        ids=[pool.ids[i] for i in wanted],
        output=pool.output[wanted],
        embeddings=pool.embeddings[wanted] if pool.embeddings is not None else None,
    )
    place = {key: i for i, key in enumerate(pool.ids)}
    shares = BY_CHANCE if config.requests_only else SHARES
    requests: list[LabelRequest] = []
    for choice in select(rest, config.budget, shares, seed=int(batch, 16)):
        said = np.nan_to_num(pool.output[place[choice.sample_id]])[None]
        known = choice.sample_id in candidates.labels
        label = target.cell(candidates.labels[choice.sample_id]) if known else ""
        requests.append(
            LabelRequest(
                batch=batch,
                sample_id=choice.sample_id,
                reasons=choice.reasons,
                score=round(choice.score, 6),
                label=label,
                predicted=target.cell(answer.labels(said)[0]),
                confidence=round(float(answer.confidence(said)[0]), 6),
                probabilities=tuple(round(float(p), 6) for p in answer.packed(said)[0]),
                gold=label if choice.reasons[0] == "gold" else "",
                classes=report.classes,
                task=report.task,
            )
        )
    return requests
