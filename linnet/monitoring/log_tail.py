"""The prediction log as it grows: each row and each label is told once, so that a look costs what is new."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linnet.monitoring.answer_index import Key, key_of
from linnet.monitoring.log_reader import read_feedback
from linnet.records.prediction_log import feedback_files, served_files, served_schema, written_at

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

logger = logging.getLogger(__name__)
_SPILL = timedelta(hours=1)
"""A row is written at most this long after it was answered."""
_COLUMNS = "request_id", "index", "version", "predicted", "confidence", "latency_ms", "ok", "segments"
_ANSWER = "request_id", "index", "at", "version", "predicted", "ok", "kept_for", "sample_id"


@dataclass
class LogTail:
    """What a model answered in [start, end), and the labels that come for it."""

    folder: Path
    model: str
    start: datetime
    end: datetime
    unread: dict[str, str] = field(default_factory=dict)
    """Files and folders that cannot be read, by their names: why."""
    _read: set[Path] = field(default_factory=set)
    _labels: dict[Path, tuple[int, int]] = field(default_factory=dict)
    """Modification time and size of the label files that were read: a text file may grow."""

    def served(self) -> Iterator[tuple[Path, pa.Table]]:
        """Files that came, each with its rows of the model: the log's columns but pixels and numbers.

        A file that cannot be read is told, and left out.
        """
        import pyarrow as pa
        import pyarrow.dataset as ds

        for path in served_files(self.folder, self._folder_unread):
            if path in self._read:
                continue
            self._read.add(path)
            try:
                if not self.start <= written_at(path) <= self.end + _SPILL:
                    continue
                source = ds.dataset(str(path), schema=served_schema(), format="parquet")
                yield path, source.to_table(columns=list(_COLUMNS), filter=self._ours())
            except (OSError, ValueError, pa.ArrowException) as error:
                self._leave_out(path.name, error)

    def answers(self, path: Path, keys: set[Key], *, images: bool = False) -> list[dict[str, Any]]:
        """Rows of the model in this time that answered these; none if it is gone or damaged (told).

        Each has request_id, index, at, version, predicted, ok, kept_for and sample_id; with `images`
        features and image too.
        """
        import pyarrow as pa
        import pyarrow.dataset as ds

        wanted = self._ours() & ds.field("request_id").isin([request for request, _ in keys])
        columns = [*_ANSWER, *(("features", "image") if images else ())]
        try:
            source = ds.dataset(str(path), schema=served_schema(), format="parquet")
            rows: list[dict[str, Any]] = source.to_table(columns=columns, filter=wanted).to_pylist()
        except FileNotFoundError:
            return []
        except (OSError, ValueError, pa.ArrowException) as error:
            self._leave_out(path.name, error)
            return []
        return [row for row in rows if key_of(row) in keys]

    def labels(self) -> Iterator[tuple[Key, str, datetime]]:
        """Labels that came since `start`, with when, the oldest first; damaged files are told.

        An older one is of an earlier answer, whose request id a client may have used again. Those of a
        file that grew are told again.
        """
        changed = []
        for path in feedback_files(self.folder, self._folder_unread):
            try:
                state = path.stat()
            except FileNotFoundError:
                continue
            except OSError as error:
                self._leave_out(path.name, error)
                continue
            if self._labels.get(path) != (state.st_mtime_ns, state.st_size):
                self._labels[path] = state.st_mtime_ns, state.st_size
                changed.append(path)
        found = read_feedback(self.folder, self.model, changed)
        for damaged in found.damaged:
            self._leave_out(damaged.partition(":")[0], damaged)
        given = [(key, label, came) for key, told in found.given.items() for label, came in told]
        return iter(sorted((one for one in given if one[2] >= self.start), key=lambda one: one[2]))

    def _ours(self) -> ds.Expression:
        import pyarrow as pa
        import pyarrow.dataset as ds

        moment = served_schema().field("at").type
        first, last = (pa.scalar(one, moment) for one in (self.start, self.end))
        return (ds.field("at") >= first) & (ds.field("at") < last) & (ds.field("model") == self.model)

    def _folder_unread(self, error: OSError) -> None:
        self._leave_out(str(error.filename), error)

    def _leave_out(self, name: str, why: object) -> None:
        """Tells what cannot be read, once a reason."""
        if self.unread.get(name) != str(why):
            self.unread[name] = str(why)
            logger.warning("%s: left out: %s: %s", self.folder, name, why)
