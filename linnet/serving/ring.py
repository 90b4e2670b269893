"""The last answered requests, in memory, for a judge that follows the stream by sequence number."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from typing import Any

from linnet.serving.predictor import Prediction, Predictor

CAPACITY = 100_000
PAGE = 20_000


class ServedRing:
    """A bounded ring of served records; the oldest go first. Safe to use from many threads."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._records: deque[dict[str, Any]] = deque(maxlen=capacity)
        self._last = 0
        self._lock = threading.Lock()

    def publish(self, record: dict[str, Any]) -> None:
        """Appends a record (the fields of `ServedRecord`)."""
        with self._lock:
            self._records.append(record)
            self._last += 1

    def skip(self, count: int) -> None:
        """Leaves room in the numbering for records that were lost before they came here."""
        with self._lock:
            if count:
                self._last += count
                self._records.clear()

    def since(self, after: int, limit: int = PAGE) -> dict[str, Any]:
        """Records with a sequence number above `after`, oldest first, at most `limit`.

        Returns {"last": sequence number to ask after next, "lost": records that the ring no longer
        has, "more": whether the page was full, "records": [...]}. An `after` from the future (the
        server was restarted) starts anew.
        """
        with self._lock:
            last = self._last
            oldest = last - len(self._records)
            if after > last:
                after = 0
            start = max(after, oldest)
            first = start - oldest
            records = list(itertools.islice(self._records, first, first + limit))
        end = start + len(records)
        return {"last": end, "lost": start - after, "more": end < last, "records": records}


def served_record(
    model: str, predictor: Predictor, prediction: Prediction | None, at: float, latency_ms: float
) -> dict[str, Any]:
    """The fields of a `ServedRecord`; of several images the first speaks for the request."""
    predicted = confidence = None
    if prediction is not None:
        first = prediction.output[:1]
        [predicted], confidence = predictor.answer.labels(first), float(predictor.answer.confidence(first)[0])
    return {
        "at": at,
        "model": model,
        "version": predictor.version,
        "ok": prediction is not None,
        "latency_ms": latency_ms,
        "predicted": predicted,
        "confidence": confidence,
        "agrees": None,
    }
