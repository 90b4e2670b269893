"""The prediction log: what was served, image by image, as Parquet; it never holds up a request.

Rows wait in a bounded queue for one writing thread, which writes a file each second or 1,000 rows.
When the queue is full, or the disk refuses, rows are dropped and counted.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import random
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from linnet.files import replacing
from linnet.serving.predictor import Prediction
from linnet.vision.decode import encode_png, sample_id
from linnet.vision.libraries import libraries

BATCH_ROWS, BATCH_SECONDS = 1_000, 1.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One answered request; becomes one row an image (one row in all if it failed)."""

    request_id: str
    at: float
    """Seconds since the epoch."""
    model: str
    version: str
    classes: tuple[str, ...]
    latency_ms: float
    prediction: Prediction | None
    error: str | None


class PredictionLog:
    """Writes Parquet files `served-<time>-<pid>-<number>.parquet` under a folder.

    Columns: request_id, index (image in the request), at (UTC), model, version, features
    (list<float>, as served), probabilities (list<float>), predicted, confidence, latency_ms, ok,
    error, sample_id (digest of the pixels as the model saw them), image (PNG of a sampled share).
    """

    def __init__(self, folder: Path | None, capacity: int, image_share: float) -> None:
        """`folder` None: nothing is logged. `capacity`: requests that may wait."""
        self.dropped = 0
        self.written = 0
        self._folder = folder
        self._image_share = image_share
        self._queue: queue.Queue[LogEntry | None] = queue.Queue(capacity)
        self._number = 0
        self._thread: threading.Thread | None = None
        self._complained = False

    def start(self) -> None:
        """Starts the writing thread."""
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._thread = threading.Thread(target=self._run, name="prediction-log", daemon=True)
            self._thread.start()

    @property
    def waiting(self) -> int:
        """Requests that wait to be written."""
        return self._queue.qsize()

    def offer(self, entry: LogEntry) -> None:
        """Takes an entry if there is room; never waits."""
        if self._thread is None:
            return
        try:
            self._queue.put_nowait(entry)
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Writes what waits, and ends the thread."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        import pyarrow  # noqa: F401  imported here and now: start-up is not delayed, nor the first batch

        ended = False
        while not ended:
            entries, ended = self._collect()
            if entries:
                try:
                    self._write(entries)
                except Exception as error:  # noqa: BLE001  a full disk must not end the log for good
                    self.dropped += len(entries)
                    if not self._complained:
                        logger.warning("the prediction log cannot be written: %s; rows are dropped", error)
                    self._complained = True

    def _collect(self) -> tuple[list[LogEntry], bool]:
        """Waits for a batch: at most BATCH_ROWS entries or BATCH_SECONDS; and whether this is the end."""
        entries: list[LogEntry] = []
        until = time.monotonic() + BATCH_SECONDS
        while len(entries) < BATCH_ROWS:
            try:
                entry = self._queue.get(timeout=max(until - time.monotonic(), 0.001))
            except queue.Empty:
                return entries, False
            if entry is None:
                return entries, True
            entries.append(entry)
        return entries, False

    def _write(self, entries: list[LogEntry]) -> None:
        import pyarrow as pa
        from pyarrow import parquet

        assert self._folder is not None
        rows = [row for entry in entries for row in _rows(entry, self._image_share)]
        self._number += 1
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        path = self._folder / f"served-{stamp}-{os.getpid()}-{self._number:06d}.parquet"
        with replacing(path) as scratch:
            parquet.write_table(pa.Table.from_pylist(rows, schema=_schema()), scratch, compression="zstd")
        self.written += len(rows)


def _rows(entry: LogEntry, image_share: float) -> list[dict[str, Any]]:
    shared: dict[str, Any] = {
        "request_id": entry.request_id,
        "index": 0,
        "at": datetime.fromtimestamp(entry.at, UTC),
        "model": entry.model,
        "version": entry.version,
        "latency_ms": entry.latency_ms,
        "ok": entry.prediction is not None,
        "error": entry.error,
    }
    prediction = entry.prediction
    if prediction is None:
        return [shared]
    keep = random.random() < image_share  # noqa: S311  a sample, not a secret
    rows = []
    for index, probabilities in enumerate(prediction.probabilities):
        top = int(probabilities.argmax())
        image = prediction.images[index]
        rows.append(
            shared
            | {
                "index": index,
                "features": prediction.features[index],
                "probabilities": probabilities,
                "predicted": entry.classes[top],
                "confidence": float(probabilities[top]),
                "sample_id": sample_id(image),
                "image": encode_png(image) if keep else None,
            }
        )
    return rows


def _schema() -> Any:
    import pyarrow as pa

    return pa.schema(
        {
            "request_id": pa.string(),
            "index": pa.int32(),
            "at": pa.timestamp("us", "UTC"),
            "model": pa.string(),
            "version": pa.string(),
            "features": pa.list_(pa.float32()),
            "probabilities": pa.list_(pa.float32()),
            "predicted": pa.string(),
            "confidence": pa.float32(),
            "latency_ms": pa.float32(),
            "ok": pa.bool_(),
            "error": pa.string(),
            "sample_id": pa.string(),
            "image": pa.binary(),
        },
        # So that a skew audit can name a library that changed since the package was proved.
        metadata={"libraries": json.dumps(libraries())},
    )
