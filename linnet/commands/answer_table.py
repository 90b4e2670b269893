"""Answers about many images as a table on disk, written as they come: `linnet predict --out`."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from linnet.errors import DataError
from linnet.storage.files import translate_storage

if TYPE_CHECKING:
    import pyarrow as pa

_ROWS = 1000
"""Rows that are written together."""
_TEXTS = ("image", "model", "version", "class", "predictions", "error")
FORMATS = (".parquet", ".csv")


class AnswerTable:
    """Takes answers of `/predict`: one row per image, `class` and `probability` of the likeliest.

    `predictions` holds the whole answer as JSON; `error` says why there is none.
    """

    def __init__(self, writer: Any, schema: pa.Schema) -> None:
        self._writer, self._schema = writer, schema
        self._rows: list[dict[str, Any]] = []
        self.written = 0

    def add(self, image: Path, answer: dict[str, Any]) -> None:
        """Takes in what was answered about one image."""
        listed = answer.get("predictions") or [{}]
        first = listed[0] if isinstance(listed[0], dict) else {}
        self._rows.append(
            {
                "image": str(image),
                "model": answer.get("model"),
                "version": answer.get("version"),
                "class": first.get("class"),
                "probability": first.get("probability"),
                "predictions": json.dumps(answer["predictions"]) if "predictions" in answer else None,
                "error": answer.get("error"),
            }
        )
        if len(self._rows) >= _ROWS:
            self.flush()

    def flush(self) -> None:
        """Writes what was taken in."""
        import pyarrow as pa

        self._writer.write_table(pa.Table.from_pylist(self._rows, self._schema))
        self.written += len(self._rows)
        self._rows.clear()


@contextlib.contextmanager
def answer_table(path: Path) -> Iterator[AnswerTable]:
    """A new table, Parquet or CSV by the file's ending; whoever adds the last answer flushes it.

    Raises:
        DataError: the ending is another, or there is such a file.
        StorageError: it cannot be written.
    """
    import pyarrow as pa
    from pyarrow import csv
    from pyarrow import parquet as pq

    if path.suffix not in FORMATS:
        raise DataError(str(path), "is no table that can be written", f"end it in {' or '.join(FORMATS)}")
    if path.exists():
        raise DataError(str(path), "exists", "name another file, or remove it")
    schema = pa.schema([(name, pa.string()) for name in _TEXTS]).insert(
        4, pa.field("probability", pa.float64())
    )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = pq.ParquetWriter if path.suffix == ".parquet" else csv.CSVWriter
        with kind(path, schema) as writer:
            yield AnswerTable(writer, schema)
    except OSError as error:
        raise translate_storage(error, path) from error
