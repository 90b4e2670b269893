"""The prediction log as it grows: each row and each label is told once, so that a look costs what is new."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from linnet.monitoring.log_reader import read_feedback
from linnet.records.prediction_log import served_files, served_schema, written_at

if TYPE_CHECKING:
    import pyarrow as pa

logger = logging.getLogger(__name__)
Key = tuple[str, int]
"""Request id, and image in the request."""
_SPILL = timedelta(hours=1)
"""A row is written at most this long after it was answered."""
_COLUMNS = (
    "request_id", "index", "version", "predicted", "confidence", "latency_ms", "ok", "sample_id", "kept_for",
    "segments",
)  # fmt: skip


@dataclass
class LogTail:
    """What a model answered in [start, end), and the labels that come for it."""

    folder: Path
    model: str
    start: datetime
    end: datetime
    _read: set[Path] = field(default_factory=set)
    _labels: dict[Path, tuple[int, int]] = field(default_factory=dict)
    """Modification time and size of the label files that were read: a text file may grow."""

    def served(self) -> Iterator[tuple[Path, pa.Table]]:
        """Files that came, each with its rows of the model: the log's columns but pixels and numbers.

        A file that cannot be read is told, and left out.
        """
        import pyarrow as pa
        import pyarrow.dataset as ds

        schema = served_schema()
        first, last = (pa.scalar(moment, schema.field("at").type) for moment in (self.start, self.end))
        wanted = (ds.field("at") >= first) & (ds.field("at") < last) & (ds.field("model") == self.model)
        for path in served_files(self.folder):
            if path in self._read:
                continue
            self._read.add(path)
            try:
                if not self.start <= written_at(path) <= self.end + _SPILL:
                    continue
                source = ds.dataset(str(path), schema=schema, format="parquet")
                yield path, source.to_table(columns=list(_COLUMNS), filter=wanted)
            except (OSError, ValueError, pa.ArrowException) as error:
                logger.warning("%s: left out: %s", path, error)

    def kept(self, path: Path, keys: set[Key]) -> pa.Table:
        """request_id, index, sample_id, features and image of some of a file's rows; none if it is gone."""
        import pyarrow.dataset as ds

        columns = ["request_id", "index", "sample_id", "features", "image"]
        schema = served_schema()
        if not path.exists():
            import pyarrow as pa

            return pa.schema([schema.field(name) for name in columns]).empty_table()
        source = ds.dataset(str(path), schema=schema, format="parquet")
        chosen = ds.field("request_id").isin([request for request, _ in keys]) & ds.field("image").is_valid()
        return source.to_table(columns=columns, filter=chosen)

    def labels(self) -> dict[Key, str]:
        """Labels that came since `start`, the oldest first; damaged files are told.

        An older one is of an earlier answer, whose request id a client may have used again.
        """
        changed = []
        for path in self.folder.glob("feedback*"):
            try:
                state = path.stat()
            except FileNotFoundError:
                continue
            if self._labels.get(path) != (state.st_mtime_ns, state.st_size):
                self._labels[path] = state.st_mtime_ns, state.st_size
                changed.append(path)
        found = read_feedback(self.folder, self.model, changed)
        for damaged in found.damaged:
            logger.warning("%s: left out: %s", self.folder, damaged)
        arrived = sorted(found.labels.items(), key=lambda item: item[1][1])
        return {key: label for key, (label, came) in arrived if came >= self.start}
