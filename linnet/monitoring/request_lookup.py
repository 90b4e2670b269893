"""One request out of the prediction log: what was answered, by whom, how fast, and what people said of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from linnet.monitoring.given_labels import Answered, Labels, given_labels
from linnet.records.prediction_log import served_files, served_schema

if TYPE_CHECKING:
    from linnet.tasks.answer import Answer, Listed

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ServedImage:
    """One image of a request."""

    index: int
    predicted: str | None
    confidence: float | None
    probabilities: tuple[float, ...]
    """What the model said, as `Answer.packed` has it; empty where the request failed."""
    features: tuple[float, ...]
    sample_id: str | None
    image: bytes | None
    """PNG as the model saw it, where the log kept it."""
    label: str | None
    """What came as feedback."""
    labelled_at: datetime | None


@dataclass(frozen=True, slots=True)
class ServedRequest:
    """One request that a version was chosen for."""

    request_id: str
    at: datetime
    model: str
    version: str
    latency_ms: float
    error: str | None
    images: tuple[ServedImage, ...]


def find_requests(log: Path, name: str) -> list[ServedRequest]:
    """What was answered under this id, or to an image whose sample id this is, the newest first.

    Ids are their senders': several models may have been asked under one, or a request sent again.
    Each answer is one of its own, with its own images. A file that cannot be read is told and passed over.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds

    wanted = (ds.field("request_id") == name) | (ds.field("sample_id") == name)
    answers: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for path in served_files(log):
        try:
            source = ds.dataset(str(path), schema=served_schema(), format="parquet")
            rows = source.to_table(filter=wanted).to_pylist()
        except FileNotFoundError:  # it was replaced or deleted just now
            continue
        except (OSError, ValueError, pa.ArrowException) as error:
            logger.warning("%s: its requests are not looked at, as it cannot be read: %s", path, error)
            continue
        for row in rows:
            key = (row["at"], row["model"], row["version"], row["request_id"])
            answers.setdefault(key, []).append(row)
    answered: dict[str, list[Answered]] = {}
    for row in (row for rows in answers.values() for row in rows if row["ok"]):
        one = row["request_id"], row["index"] or 0, row["at"], row["sample_id"]
        answered.setdefault(row["model"], []).append(one)
    labels = {
        model: given_labels(log, model, ones, min(at for _, _, at, _ in ones)).labels
        for model, ones in answered.items()
    }
    found = [_request(rows, labels.get(rows[0]["model"], {})) for rows in answers.values()]
    return sorted(found, key=lambda one: one.at, reverse=True)


def _request(rows: list[dict[str, Any]], labels: Labels) -> ServedRequest:
    first = rows[0]

    def image_of(row: dict[str, Any]) -> ServedImage:
        label, at = labels.get((row["request_id"], row["index"] or 0, row["sample_id"]), (None, None))
        return ServedImage(
            row["index"], row["predicted"], row["confidence"], tuple(row["probabilities"] or ()),
            tuple(row["features"] or ()), row["sample_id"], row["image"], label, at,
        )  # fmt: skip

    return ServedRequest(
        first["request_id"], first["at"], first["model"], first["version"], first["latency_ms"],
        first["error"], tuple(image_of(row) for row in sorted(rows, key=lambda row: row["index"])),
    )  # fmt: skip


def listed(answer: Answer, values: tuple[float, ...]) -> Listed:
    """What a client was answered; nothing where the log holds numbers of another model."""
    try:
        return answer.listed(answer.unpacked(np.asarray(values, np.float32), np.array([len(values)]))[0])
    except ValueError:
        return []
