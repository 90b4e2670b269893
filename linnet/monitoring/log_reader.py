"""Reads what the server wrote: prediction log and feedback, by the time of the answer.

A column that is missing reads as null.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from linnet.errors import StorageError
from linnet.records import utc_time
from linnet.records.prediction_log import (
    LIBRARIES,
    RANDOM,
    Told,
    feedback_files,
    served_files,
    served_schema,
    written_at,
)

if TYPE_CHECKING:
    import pyarrow as pa

_SPILL = timedelta(hours=1)
"""A row's file is written later than the row was answered, by far less than this earlier."""


@dataclass(frozen=True, slots=True)
class LogWindow:
    """What the log holds of one version between two moments."""

    rows: pa.Table
    """request_id, index, at, features, probabilities, predicted, confidence, latency_ms, sample_id,
    image (null where none was kept, or more than asked for), late (bool); in order of `at`."""
    failed: int
    """Requests that the version could not answer."""
    libraries: dict[str, dict[str, int]]
    """Rows by library and version, as far as the files say."""
    damaged: tuple[str, ...]
    """Files and folders that could not be read."""


def read_served(
    folder: Path,
    model: str,
    version: str | None,
    start: datetime,
    end: datetime,
    closed: datetime,
    most_images: int | None = None,
    seed: int = 0,
) -> LogWindow:
    """Rows of `version` (None: any) answered in [start, end); those written after `closed` are late.

    `most_images` bounds how many kept images are read, an even random share of those that were drawn at
    random; None: all, also those that were kept since they are unusual.

    Raises:
        StorageError: `folder` is not there, or holds no log.
    """
    files, kept = [], 0
    damaged: list[str] = []
    libraries: Counter[tuple[str, str]] = Counter()
    unread = lambda error: damaged.append(f"{error.filename}: {error.strerror}")  # noqa: E731
    for path in _files(folder, start, unread):
        try:
            about = _read_footer(path, model, start, end)
        except (OSError, ValueError) as error:
            damaged.append(f"{path.name}: {error}")
            continue
        if not about.rows:
            continue
        files.append(path)
        kept += about.images
        for name, found in about.libraries.items():
            libraries[name, found] += about.rows
    rows, failed = _scan(files, model, version, start, end, closed, _share(most_images, kept), seed, damaged)
    by_library: dict[str, dict[str, int]] = {}
    for (name, found), count in libraries.items():
        by_library.setdefault(name, {})[found] = count
    return LogWindow(rows, failed, by_library, tuple(damaged))


def first_and_last(folder: Path) -> tuple[datetime, datetime] | None:
    """When the log's first and last row were answered; None if it is empty. Damaged files say nothing.

    Raises:
        StorageError: there is no log, or no file of it can be read.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    moments: list[datetime] = []
    problem = ""
    for path in _files(folder, None):
        try:
            span = pc.min_max(pq.read_table(path, columns=["at"])["at"]).as_py()
        except (OSError, ValueError, KeyError, pa.ArrowException) as error:
            problem = problem or f"{path}: {error}"
            continue
        moments += [moment for moment in span.values() if moment is not None]
    if problem and not moments:
        raise StorageError(f"no file of the prediction log can be read: {problem}")
    return (min(moments), max(moments)) if moments else None


@dataclass(frozen=True, slots=True)
class ReadFeedback:
    """True labels that came later for a model."""

    given: dict[tuple[str, int], tuple[tuple[str, datetime], ...]]
    """(Request id, image in the request) to every label and its arrival, the last one last: which answer
    each was given for is told by `linnet.monitoring.given_labels`."""
    damaged: tuple[str, ...]
    """Files, and rows of files, that could not be read."""

    @property
    def labels(self) -> dict[tuple[str, int], tuple[str, datetime]]:
        """(Request id, image in the request) to the last label and its arrival."""
        return {key: given[-1] for key, given in self.given.items()}


def read_feedback(folder: Path, model: str, files: Iterable[Path] | None = None) -> ReadFeedback:
    """True labels that came later for a model; of `files` alone, where they are named.

    Parquet or JSON lines (`feedback*`) with request_id, label, at and, for requests of several images,
    index; a row without `model` is of whatever model answered that request. No file: no labels.
    """
    import pyarrow as pa

    found: dict[tuple[str, int], list[tuple[str, datetime]]] = {}
    damaged: list[str] = []
    if files is None:
        files = feedback_files(folder, lambda error: damaged.append(f"{error.filename}: {error.strerror}"))
    for path in sorted(files):
        wrong: list[str] = []
        try:
            for number, row in enumerate(_feedback_rows(path), 1):
                try:
                    key, label, moment = _feedback_row(row, model)
                except (KeyError, TypeError, ValueError) as error:
                    wrong.append(f"row {number}: {type(error).__name__}: {error}")
                    continue
                if key is not None:
                    found.setdefault(key, []).append((label, moment))
        except (OSError, ValueError, pa.ArrowException) as error:
            damaged.append(f"{path.name}: {error}")
        if wrong:
            damaged.append(f"{path.name}: {len(wrong)} rows cannot be read, the first is {wrong[0]}")
    ordered = {key: tuple(sorted(given, key=lambda one: one[1])) for key, given in found.items()}
    return ReadFeedback(ordered, tuple(damaged))


def _feedback_rows(path: Path) -> Iterator[dict[str, Any] | str]:
    """The rows of a table, or the lines of a text."""
    import pyarrow.parquet as pq

    if path.suffix == ".parquet":
        yield from pq.read_table(path).to_pylist()
    elif path.suffix in (".jsonl", ".ndjson"):
        yield from (line for line in path.read_text("utf-8").splitlines() if line.strip())
    else:
        raise ValueError("labels are read from .parquet, .jsonl and .ndjson")


def _feedback_row(row: dict[str, Any] | str, model: str) -> tuple[tuple[str, int] | None, str, datetime]:
    """Image, label and arrival that a row tells; no image if it is another model's.

    Raises:
        KeyError, TypeError, ValueError: it is no such row.
    """
    values = json.loads(row) if isinstance(row, str) else row
    at = values["at"]
    moment = utc_time(at.isoformat() if isinstance(at, datetime) else str(at))
    key = str(values["request_id"]), int(values.get("index") or 0)
    return (key if (values.get("model") or model) == model else None), str(values["label"]), moment


@dataclass(frozen=True, slots=True)
class _Footer:
    rows: int
    images: int
    libraries: dict[str, str]


def _read_footer(path: Path, model: str, start: datetime, end: datetime) -> _Footer:
    """What a file's footer says, without its rows, of the groups that may hold a model's of [start, end)."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        metadata = file.metadata
        columns = {metadata.schema.column(i).path: i for i in range(metadata.num_columns)}
        rows = images = 0
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            told = {name: group.column(i).statistics for name, i in columns.items()}
            models, times = told.get("model"), told.get("at")
            if models and models.has_min_max and not models.min <= model <= models.max:
                continue
            if times and times.has_min_max and not (times.min < end and start <= times.max):
                continue
            rows += group.num_rows
            if "image" in columns:
                part = group.column(columns["image"])
                images += part.num_values - (part.statistics.null_count if part.statistics else 0)
        said = json.loads((file.schema_arrow.metadata or {}).get(LIBRARIES, b"{}"))
    return _Footer(rows, images, said)


def _files(folder: Path, start: datetime | None, unread: Told | None = None) -> Iterator[Path]:
    """Log files that may hold rows from `start` on: a file is written after its rows."""
    if not folder.is_dir():
        raise StorageError(
            f"{folder}: there is no prediction log; `linnet up` starts a server that writes one"
        )
    for path in served_files(folder, unread):
        if start is None or written_at(path) >= start - _SPILL:
            yield path


def _share(most: int | None, kept: int) -> float | None:
    """Share of the kept images to read; None: all of them, whatever they were kept for."""
    if most is None:
        return None
    return 1.0 if kept <= most else most / kept


def _scan(
    files: list[Path],
    model: str,
    version: str | None,
    start: datetime,
    end: datetime,
    closed: datetime,
    share: float | None,
    seed: int,
    damaged: list[str],
) -> tuple[pa.Table, int]:
    """The rows, and how many requests failed; a file that cannot be read is added to `damaged`."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    wanted = ["request_id", "index", "at", "features", "probabilities", "predicted", "confidence"]
    wanted += ["latency_ms", "sample_id", "segments", "image"]
    told = ["ok", "kept_for"]
    schema, rng = served_schema(), np.random.default_rng(seed)
    first, last = (pa.scalar(moment, schema.field("at").type) for moment in (start, end))
    inside = (ds.field("at") >= first) & (ds.field("at") < last)
    ours = ds.field("model") == model
    if version is not None:
        ours &= ds.field("version") == version
    failed, parts = 0, []
    for path in files:
        source = ds.dataset(str(path), schema=schema, format="parquet")
        try:
            batches = list(source.scanner(columns=[*wanted, *told], filter=inside & ours).to_batches())
        except (OSError, ValueError, pa.ArrowException) as error:
            damaged.append(f"{path.name}: {error}")
            continue
        late = written_at(path) > closed
        for batch in batches:
            good = batch.filter(batch["ok"])
            failed += batch.num_rows - good.num_rows
            image = good["image"]
            if share is not None:  # what was kept for another reason says nothing of the traffic as a whole
                fair = pc.equal(pc.fill_null(good["kept_for"], RANDOM), RANDOM)
                image = pc.if_else(fair, image, pa.scalar(None, pa.binary()))
            if share is not None and share < 1.0:
                chosen = pa.array(rng.random(good.num_rows) < share)
                image = pc.if_else(chosen, image, pa.scalar(None, pa.binary()))
            flags = pa.array(np.full(good.num_rows, late))
            arrays = [good[name] for name in wanted[:-1]] + [image, flags]
            parts.append(pa.record_batch(arrays, names=[*wanted, "late"]))
    fields = [schema.field(name) for name in wanted] + [pa.field("late", pa.bool_())]
    return pa.Table.from_batches(parts, pa.schema(fields)).sort_by("at"), failed
