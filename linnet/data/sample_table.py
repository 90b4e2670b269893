"""Writes the sample table: Parquet shards whose columns DatasetManifest describes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from linnet.data.rows import RawRow
from linnet.data.scan import Seen
from linnet.records import Split

_SHARD_ROWS = 10_000
_SHARD_BYTES = 128 << 20
_COHORT = "cohort_"


@dataclass(frozen=True, slots=True)
class Sample:
    """One row of the table, with the image as it is kept."""

    row: RawRow
    seen: Seen
    split: Split
    image: bytes


def schema(cohorts: Sequence[str]) -> pa.Schema:
    """The columns of a shard."""
    text, number = pa.string(), pa.int32()
    columns = [
        ("sample_id", text),
        ("image", pa.binary()),
        ("label", text),
        ("label_source", text),
        ("split", text),
        ("captured_at", pa.timestamp("us", "UTC")),
        ("width", number),
        ("height", number),
        ("channels", number),
        ("origin", text),
    ]
    return pa.schema([*columns, *((_COHORT + name, text) for name in cohorts)])


class TableWriter:
    """Collects samples and writes a shard whenever enough rows or bytes came together.

    The same samples give byte-identical files (with the same version of pyarrow).
    """

    def __init__(self, folder: Path, cohorts: Sequence[str], captured_at: datetime) -> None:
        self.shards: list[str] = []
        self._folder, self._cohorts, self._captured_at = folder, tuple(cohorts), captured_at
        self._schema = schema(cohorts)
        self._pending: list[Sample] = []
        self._bytes = 0

    def add(self, sample: Sample) -> None:
        """Takes one sample."""
        self._pending.append(sample)
        self._bytes += len(sample.image)
        if len(self._pending) >= _SHARD_ROWS or self._bytes >= _SHARD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Writes what is pending, in one rename.

        Raises:
            OSError: the disk is full or not writable.
        """
        if not self._pending:
            return
        name = f"part-{len(self.shards):05d}.parquet"
        path = self._folder / name
        partial = path.with_suffix(".partial")
        table = pa.table(self._columns(), schema=self._schema)
        texts = [field.name for field in self._schema if field.name not in ("image", "sample_id", "origin")]
        try:
            with partial.open("wb") as stream:  # a Python file: its errors keep their errno
                pq.write_table(
                    table, stream, compression="zstd", use_dictionary=texts, write_statistics=False
                )
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        self.shards.append(name)
        self._pending, self._bytes = [], 0

    def _columns(self) -> dict[str, list[Any]]:
        samples = self._pending
        columns: dict[str, list[Any]] = {
            "sample_id": [sample.seen.sample_id for sample in samples],
            "image": [sample.image for sample in samples],
            "label": [sample.row.label for sample in samples],
            "label_source": [sample.row.label_source for sample in samples],
            "split": [sample.split for sample in samples],
            "captured_at": [sample.row.captured_at or self._captured_at for sample in samples],
            "width": [sample.seen.width for sample in samples],
            "height": [sample.seen.height for sample in samples],
            "channels": [sample.seen.channels for sample in samples],
            "origin": [sample.row.origin for sample in samples],
        }
        for i, name in enumerate(self._cohorts):
            columns[_COHORT + name] = [sample.row.cohorts[i] for sample in samples]
        return columns
