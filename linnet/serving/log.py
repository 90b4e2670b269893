"""The prediction log: what was served, image by image, as Parquet; it never holds up a request.

Rows wait in a queue, bounded in number and in bytes, for one writing thread, which writes a file each half
second or 5,000 requests. When the queue is full, or the disk refuses, rows are dropped and counted. What
was answered and not yet written stands in a tally outside this process, so that a kill's loss is counted.
"""

from __future__ import annotations

import itertools
import json
import logging
import math
import queue
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from linnet.records.prediction_log import LIBRARIES, RANDOM, SERVED, new_file, served_schema
from linnet.serving.predictor import Prediction
from linnet.serving.sample import ImageSample
from linnet.storage.files import replacing
from linnet.tasks.answer import Answer
from linnet.vision.decode import Pixels, encode_png, sample_id
from linnet.vision.libraries import libraries

BATCH_ROWS, BATCH_SECONDS = 5_000, 0.5
"""Requests and seconds a file: half a second, so that with the writing itself at most one is ever at risk."""
_NUMBERS = itertools.count(1)
"""Of this process's files: several models' logs write beside each other, and none over another's."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One answered request; becomes one row per image (one row in all if it failed)."""

    request_id: str
    at: float
    """Seconds since the epoch."""
    model: str
    version: str
    answer: Answer
    latency_ms: float
    prediction: Prediction | None
    error: str | None
    segments: Mapping[str, str] = field(default_factory=dict)
    """Which groups of users it comes from, as its sender says."""

    @property
    def size(self) -> int:
        """Bytes of its arrays."""
        one = self.prediction
        if one is None:
            return 0
        return one.images.nbytes + one.features.nbytes + one.output.nbytes


class PredictionLog:
    """Writes Parquet files of `linnet.records.prediction_log` under a folder.

    index: image in the request; features as served; sample_id: digest of the pixels as the model saw
    them; image: PNG of a sampled share.
    """

    def __init__(
        self,
        folder: Path | None,
        capacity: int,
        image_share: float,
        image_blocks: int = 0,
        most_bytes: float = math.inf,
        unwritten: Callable[[int], None] = lambda _change: None,
        per_minute: float = 0.0,
    ) -> None:
        """`folder` None: nothing is logged. `capacity`: requests that may wait.

        `image_share`: of requests whose images are kept; `image_blocks`: pixels a side over which a kept
        image is averaged, so that nothing small can be read in it (0: as it is); `most_bytes` of arrays
        may wait; `unwritten` is told how many requests more, or fewer, have not been written; `per_minute`:
        images that are kept besides, as `ImageSample` chooses them.
        """
        self._most_bytes, self._bytes, self._unwritten = most_bytes, 0, unwritten
        self._counting = threading.Lock()
        self.dropped = 0
        self.written = 0
        self._folder = folder
        self._image_share, self._image_blocks = image_share, image_blocks
        self._sample = ImageSample(per_minute)
        self._queue: queue.Queue[LogEntry | None] = queue.Queue(capacity)
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
        size = entry.size
        if self._bytes + size > self._most_bytes:
            self._drop(1)
            return
        self._unwritten(1)
        try:
            self._queue.put_nowait(entry)
        except queue.Full:
            self._unwritten(-1)
            self._drop(1)
        else:
            with self._counting:
                self._bytes += size

    def _drop(self, count: int) -> None:
        with self._counting:  # both threads drop
            self.dropped += count

    def close(self) -> None:
        """Writes what waits, and ends the thread."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        import pyarrow  # noqa: F401  imported here and now: start-up is not delayed, nor the first batch

        entries: list[LogEntry] = []
        ended = False
        while not ended:
            if len(entries) < BATCH_ROWS:
                more, ended = self._collect()
                entries += more
            else:
                time.sleep(BATCH_SECONDS)
            written = bool(entries) and self._written(entries)
            if ended and not written:
                self._drop(len(entries))
            if written or ended:
                self._unwritten(-len(entries))
                with self._counting:
                    self._bytes -= sum(entry.size for entry in entries)
                entries = []

    def _written(self, entries: list[LogEntry]) -> bool:
        """Writes entries; False if the disk refuses: then they wait, as long as there is room for more."""
        try:
            self._write(entries)
        except OSError as error:
            if not self._complained:
                logger.warning(
                    "the prediction log cannot be written: %s; %d requests may wait, more are lost",
                    error, self._queue.maxsize + BATCH_ROWS,
                )  # fmt: skip
            self._complained = True
            return False
        if self._complained:
            logger.warning("the prediction log is written again; %d requests were lost so far", self.dropped)
        self._complained = False
        return True

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
        tables = self._tables(entries, self._reasons(entries))
        if not tables:
            return
        # So that a skew audit can name a library that changed since the package was proved.
        table = pa.concat_tables(tables).replace_schema_metadata({LIBRARIES: json.dumps(libraries())})
        with replacing(new_file(self._folder, SERVED, next(_NUMBERS))) as scratch:
            parquet.write_table(table, scratch, compression="zstd")
        self.written += table.num_rows

    def _reasons(self, entries: list[LogEntry]) -> list[str]:
        """Why each entry's images are kept; empty: they are not."""
        try:
            chosen = self._sample.choose(entries)
        except Exception as error:  # noqa: BLE001  a sample is not worth the log
            logger.error("no sample of the images is kept: %s", error)
            chosen = {}
        return [
            RANDOM if random.random() < self._image_share else chosen.get(place, "")  # noqa: S311  no secret
            for place in range(len(entries))
        ]

    def _tables(self, entries: list[LogEntry], reasons: list[str]) -> list[Any]:
        """Entries as tables. One that cannot be a row is dropped alone, and counted; the others stay."""
        import pyarrow as pa

        try:
            columns = _columns(entries, reasons, self._image_blocks)
            return [pa.table(columns, schema=served_schema())]
        except Exception as error:  # noqa: BLE001  whatever is wrong with it, it is one entry's fault
            if len(entries) > 1:
                middle = len(entries) // 2
                first = self._tables(entries[:middle], reasons[:middle])
                return first + self._tables(entries[middle:], reasons[middle:])
            logger.error("request %r cannot be logged: %s", entries[0].request_id, error)
            self._drop(1)
            return []


def _columns(entries: list[LogEntry], reasons: list[str], blocks: int) -> dict[str, Any]:
    """The table's columns: one row per image, and one for a request that failed.

    Built column by column: that the log costs little is part of how fast the server is.
    """
    import pyarrow as pa

    columns: dict[str, list[Any]] = {name: [] for name in served_schema().names}
    vectors: dict[str, list[Any]] = {"features": [], "probabilities": []}
    for entry, reason in zip(entries, reasons, strict=True):
        prediction = entry.prediction
        count = 1 if prediction is None else len(prediction.output)
        columns["request_id"] += [entry.request_id] * count
        columns["index"] += range(count)
        columns["at"] += [round(entry.at * 1e6)] * count
        columns["model"] += [entry.model] * count
        columns["version"] += [entry.version] * count
        columns["latency_ms"] += [entry.latency_ms] * count
        columns["ok"] += [prediction is not None] * count
        columns["error"] += [entry.error] * count
        columns["segments"] += [list(entry.segments.items()) or None] * count
        if prediction is None:
            for name in ("predicted", "confidence", "sample_id", "image", "kept_for"):
                columns[name].append(None)
            for vector in vectors.values():
                vector.append(None)
            continue
        vectors["features"] += list(prediction.features)
        vectors["probabilities"] += entry.answer.packed(prediction.output)
        columns["predicted"] += entry.answer.labels(prediction.output)
        columns["confidence"] += entry.answer.confidence(prediction.output).tolist()
        columns["sample_id"] += [sample_id(image) for image in prediction.images]
        kept = (
            [encode_png(_coarse(image, blocks)) for image in prediction.images] if reason else [None] * count
        )
        columns["image"] += kept
        columns["kept_for"] += [reason or None] * count
    for name, values in vectors.items():
        columns[name] = _lists(values, pa)
    return columns


def _lists(vectors: list[Any], pa: Any) -> Any:
    """An Arrow list<float> array of vectors float32, None where there is none."""
    lengths = [0 if vector is None else len(vector) for vector in vectors]
    offsets = np.zeros(len(vectors) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    there = [vector for vector in vectors if vector is not None]
    values = np.concatenate(there) if there else np.zeros(0, np.float32)
    missing = pa.array([vector is None for vector in vectors])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(values, pa.float32()), mask=missing)


def _coarse(image: Pixels, blocks: int) -> Pixels:
    """An image [H, W, C] of the means over squares of `blocks` pixels a side."""
    if blocks <= 1:
        return image
    height, width = image.shape[:2]
    rows, columns = np.arange(height) // blocks, np.arange(width) // blocks
    sums = np.add.reduceat(image.astype(np.int64), np.arange(0, height, blocks), axis=0)
    sums = np.add.reduceat(sums, np.arange(0, width, blocks), axis=1)
    counts = np.bincount(rows)[:, None] * np.bincount(columns)[None]
    means = (sums / counts[:, :, None]).round().astype(np.uint8)
    return np.ascontiguousarray(means[rows][:, columns])
