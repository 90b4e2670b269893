"""The prediction log in figures, a request each: read from Parquet column by column, never as a whole."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from linnet.records.prediction_log import served_files

logger = logging.getLogger(__name__)
_COLUMNS = ["model", "index", "at", "version", "predicted", "confidence", "latency_ms", "ok"]


@dataclass(frozen=True)
class LogFile:
    """What one file of the log holds, summed up; files are never changed, so neither is this."""

    requests: int
    failed: int
    first: float
    last: float
    """Seconds since the epoch."""
    versions: dict[str, int]
    classes: dict[str, int]
    """Answers by class, an image each; all else is a request each, however many images it brings."""
    at: np.ndarray[tuple[int], np.dtype[np.float64]]
    """Seconds since the epoch, a request."""
    answered: np.ndarray[tuple[int], np.dtype[np.bool_]]
    latencies: np.ndarray[tuple[int], np.dtype[np.float32]]
    hours: dict[int, int]
    """Requests by hour since the epoch."""


@dataclass(frozen=True, eq=False)
class LogSummary:
    """The whole log. `at` (seconds since the epoch), `answered` and `latencies` (ms) have one row per request.

    `classes` counts images; all else counts requests, however many images one brings.
    """

    requests: int = 0
    failed: int = 0
    first: datetime | None = None
    last: datetime | None = None
    versions: dict[str, int] = field(default_factory=dict)
    classes: dict[str, int] = field(default_factory=dict)
    p50_ms: float = float("nan")
    p95_ms: float = float("nan")
    p99_ms: float = float("nan")
    hours: tuple[tuple[int, int], ...] = ()
    at: np.ndarray[tuple[int], np.dtype[np.float64]] = field(default_factory=lambda: np.empty(0))
    answered: np.ndarray[tuple[int], np.dtype[np.bool_]] = field(default_factory=lambda: np.empty(0, bool))
    latencies: np.ndarray[tuple[int], np.dtype[np.float32]] = field(
        default_factory=lambda: np.empty(0, np.float32)
    )
    unread: tuple[str, ...] = ()
    """Files that cannot be read, with the reason: their requests, of whatever model, are in no figure."""


class PredictionLogReader:
    """Reads each file once; a summary then costs what is new since the last one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, dict[str, LogFile]] = {}
        self._lock = threading.Lock()

    def summary(self, model: str) -> LogSummary:
        """What `model` was asked, as the log stands; none of it is another model's.

        A file that cannot be read is told (`unread`) and left out; one that was removed meanwhile is left out.
        """
        from pyarrow import ArrowException

        unread: list[str] = []
        with self._lock:
            names = {
                str(path): path
                for path in served_files(
                    self._folder, lambda error: unread.append(f"its requests are not counted: {error}")
                )
            }
            self._files = {name: found for name, found in self._files.items() if name in names}
            for name, path in names.items():
                if name in self._files:
                    continue
                try:
                    self._files[name] = _read(path)
                except FileNotFoundError:
                    continue
                except (OSError, ArrowException) as error:
                    unread.append(f"{path}: its requests are not counted, as it cannot be read: {error}")
                    _tell(unread[-1])
            found = _sum([of[model] for of in self._files.values() if model in of])
            return replace(found, unread=tuple(unread))


def _read(path: Path) -> dict[str, LogFile]:
    """A file's rows by model.

    Raises:
        OSError, pyarrow.ArrowException: it cannot be read.
    """
    import pyarrow.compute as compute
    from pyarrow import parquet

    table = parquet.read_table(path, columns=_COLUMNS)
    models = compute.unique(table["model"]).to_pylist()
    return {model: _rows_of(table.filter(compute.equal(table["model"], model))) for model in models}


@lru_cache(1000)
def _tell(problem: str) -> None:
    """Once a process: the console looks every few seconds."""
    logger.warning(problem)


def _rows_of(table: Any) -> LogFile:
    import pyarrow.compute as compute

    classes = _counts(table["predicted"])
    table = table.filter(compute.equal(table["index"], 0))
    at = compute.cast(table["at"], "int64").to_numpy() / 1e6
    hours, counts = np.unique((at // 3600).astype(int), return_counts=True)
    return LogFile(
        requests=table.num_rows,
        failed=int(table.num_rows - (compute.sum(table["ok"]).as_py() or 0)),
        first=float(at.min()),
        last=float(at.max()),
        versions=_counts(table["version"]),
        classes=classes,
        at=at,
        answered=table["ok"].to_numpy().astype(bool),
        latencies=table["latency_ms"].to_numpy().astype(np.float32),
        hours={int(hour): int(count) for hour, count in zip(hours, counts, strict=True)},
    )


def _counts(column: Any) -> dict[str, int]:
    import pyarrow.compute as compute

    return {
        str(pair["values"]): int(pair["counts"])
        for pair in compute.value_counts(column).to_pylist()
        if pair["values"] is not None
    }


def _sum(files: list[LogFile]) -> LogSummary:
    if not files:
        return LogSummary()
    latencies = np.concatenate([one.latencies for one in files])
    p50, p95, p99 = (float(value) for value in np.percentile(latencies, (50, 95, 99)))
    return LogSummary(
        requests=sum(one.requests for one in files),
        failed=sum(one.failed for one in files),
        first=datetime.fromtimestamp(min(one.first for one in files), UTC),
        last=datetime.fromtimestamp(max(one.last for one in files), UTC),
        versions=_added([one.versions for one in files]),
        classes=_added([one.classes for one in files]),
        p50_ms=p50,
        p95_ms=p95,
        p99_ms=p99,
        hours=tuple(sorted(_added([one.hours for one in files]).items())),
        at=np.concatenate([one.at for one in files]),
        answered=np.concatenate([one.answered for one in files]),
        latencies=latencies,
    )


def _added(parts: list[dict[Any, int]]) -> dict[Any, int]:
    total: dict[Any, int] = {}
    for part in parts:
        for key, count in part.items():
            total[key] = total.get(key, 0) + count
    return dict(sorted(total.items(), key=lambda item: -item[1]))
