"""One request out of the prediction log: what was answered, by whom, how fast, and what people said of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from linnet.monitoring.given_labels import given_labels
from linnet.records.prediction_log import served_files, served_schema

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


def find_request(log: Path, name: str) -> ServedRequest | None:
    """The newest request in the log with this id, or with an image whose sample id this is; None: none.

    Files are read from the newest on; one that cannot be read is told and passed over.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds

    wanted = (ds.field("request_id") == name) | (ds.field("sample_id") == name)
    for path in reversed(list(served_files(log))):
        try:
            source = ds.dataset(str(path), schema=served_schema(), format="parquet")
            rows = source.to_table(filter=wanted).to_pylist()
        except FileNotFoundError:  # it was replaced or deleted just now
            continue
        except (OSError, ValueError, pa.ArrowException) as error:
            logger.warning("%s: its requests are not looked at, as it cannot be read: %s", path, error)
            continue
        if rows:
            newest = max(rows, key=lambda row: row["at"])
            return _request([row for row in rows if row["request_id"] == newest["request_id"]], log)
    return None


def _request(rows: list[dict[str, Any]], log: Path) -> ServedRequest:
    first = rows[0]
    answers = [(row["request_id"], row["index"] or 0, row["at"], row["sample_id"]) for row in rows]
    labels = given_labels(log, first["model"], answers, min(row["at"] for row in rows)).labels

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
