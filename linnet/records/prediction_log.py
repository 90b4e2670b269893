"""The prediction log's files as server and readers both know them: names, columns, metadata.

`served-<time>-<process>-<number>.parquet` has one row per image that was served; `feedback-...` one per label
that came for one. Columns that are added do no reader harm.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)
Told = Callable[[OSError], None]
"""What is called of a folder that cannot be read."""
SERVED, FEEDBACK = "served", "feedback"
LIBRARIES = b"libraries"
"""Key in a served file's metadata: JSON of the versions that the server ran with."""
RANDOM = "random"
"""Why an image was kept (`kept_for`): by chance alone."""
_STAMP = "%Y%m%dT%H%M%S"
_NAME = re.compile(r"[a-z]+-(\d{8}T\d{6})-.*\.parquet")


def served_schema() -> pa.Schema:
    """Columns of `served-*`: one row per image, and one for a request that failed.

    kept_for: why the image was kept: `random`, or what it was chosen for, so that it says nothing of the
    traffic as a whole. Older files have no such column: theirs were drawn at random. probabilities: what the
    model said, as the task's `Answer.packed` has it; of classes, a probability each. segments: which groups
    of users the request comes from, as its sender says (`serving.segments`).
    """
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
            "kept_for": pa.string(),
            "segments": pa.map_(pa.string(), pa.string()),
        }
    )


def feedback_schema() -> pa.Schema:
    """Columns of `feedback-*`: one row per label. Files older than several models have no `model`."""
    import pyarrow as pa

    return pa.schema(
        {
            "model": pa.string(),
            "request_id": pa.string(),
            "index": pa.int32(),
            "label": pa.string(),
            "at": pa.timestamp("us", "UTC"),
            "source": pa.string(),
        }
    )


def new_file(folder: Path, kind: str, number: int) -> Path:
    """Where this process writes its file `number` of a kind, now."""
    return folder / f"{kind}-{datetime.now(UTC):{_STAMP}}-{os.getpid()}-{number:06d}.parquet"


def served_files(folder: Path, told: Told | None = None) -> Iterator[Path]:
    """The served files below a folder, the oldest first; `told` of a folder that cannot be read, or a log.

    Linked folders count, such as one on another disk; each folder once, however many links lead to it.
    """
    return _files(folder, lambda name: name.startswith(f"{SERVED}-") and name.endswith(".parquet"), told)


def feedback_files(folder: Path, told: Told | None = None) -> Iterator[Path]:
    """The files of labels below a folder, as `served_files`; also what a person lays there."""
    return _files(folder, lambda name: name.startswith(FEEDBACK), told)


def _files(folder: Path, wanted: Callable[[str], bool], told: Told | None) -> Iterator[Path]:
    def unread(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):  # there is none, or it was deleted just now
            (told or _log_unread)(error)

    found, seen = [], set()
    for place, folders, names in os.walk(folder, onerror=unread, followlinks=True):
        folders.sort()  # which of two ways to one folder is taken must not change between two looks
        if (real := os.path.realpath(place)) in seen:
            folders.clear()
            continue
        seen.add(real)
        found += [Path(place, name) for name in names if wanted(name)]
    return iter(sorted(found))


def _log_unread(error: OSError) -> None:
    logger.warning("its rows are left out: %s", error)


@dataclass(frozen=True, slots=True)
class Held:
    """What the footer of a served file says of its rows."""

    models: tuple[str, str] | None
    """The first and the last model by name; None: nobody knows. Rows of a server are of one model a file."""
    images: int
    """How many rows have one; at most so many, where nobody counted."""


def holds(path: Path) -> Held:
    """What a served file holds; only its footer is read.

    Raises:
        OSError, ValueError: the file cannot be read.
    """
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(path)
    columns = {metadata.schema.column(i).path: i for i in range(metadata.num_columns)}
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    images = 0
    if "image" in columns:
        for group in groups:
            part = group.column(columns["image"])
            images += part.num_values - (part.statistics.null_count if part.statistics else 0)
    names = [group.column(columns["model"]).statistics for group in groups] if "model" in columns else []
    known = [one for one in names if one and one.has_min_max]
    if not known or len(known) < len(groups):
        return Held(None, images)
    return Held((min(one.min for one in known), max(one.max for one in known)), images)


def written_at(path: Path) -> datetime:
    """When a file's rows were written, as its name says: it may have been replaced since.

    Raises:
        FileNotFoundError: the name does not say, and the file is gone.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    return datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC)
