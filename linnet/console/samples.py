"""The sample table of a run, browsed: filtered by its small columns, images read for one page only."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from linnet.errors import DataError, InvalidImage, StorageError
from linnet.records import DatasetManifest
from linnet.vision.decode import decode
from linnet.vision.thumbnail import thumbnail

PAGE = 48
OFFERED = 500
"""Values of a cohort column that the page offers."""
_SMALL = ["sample_id", "label", "split"]


@dataclass(frozen=True)
class Filters:
    """What to show; empty: everything."""

    label: str = ""
    split: str = ""
    cohort: str = ""
    """`column=value`."""
    only: frozenset[str] | None = None
    """Sample ids, such as those of the mistakes."""


@dataclass(frozen=True)
class Shot:
    """One sample on the page."""

    sample_id: str
    label: str
    split: str
    picture: str
    """A data URI; empty where the image cannot be decoded."""


class SampleTable:
    """The table of one run."""

    def __init__(self, folder: Path) -> None:
        """Reads the small columns.

        Raises:
            StorageError, DataError: there is no table, or it cannot be read.
        """
        self._folder = folder
        self._cohort_values: dict[str, list[str]] = {}
        self.manifest = DatasetManifest.load(folder / "manifest.json")
        self._columns = _columns(folder.resolve(), self.manifest.shards, self.manifest.cohorts)

    @property
    def cohorts(self) -> list[str]:
        """Cohorts to choose from, as `column=value`: the first `OFFERED` values of each column."""
        return [f"{name}={value}" for name in self.manifest.cohorts for value in self._values(name)[:OFFERED]]

    @property
    def cohorts_left(self) -> str:
        """Of which columns `cohorts` has not all values, in a sentence; empty: it has all."""
        counts = {name: len(self._values(name)) for name in self.manifest.cohorts}
        cut = [
            f"{OFFERED} of {count:,} values of {name}" for name, count in counts.items() if count > OFFERED
        ]
        named = f"; ?cohort={self.manifest.cohorts[0]}=VALUE in the address takes any" if cut else ""
        return f"offered: the first {' and '.join(cut)}{named}" if cut else ""

    def _values(self, name: str) -> list[str]:
        if name not in self._cohort_values:
            self._cohort_values[name] = sorted(set(self._columns[f"cohort_{name}"].tolist()))
        return self._cohort_values[name]

    def page(self, filters: Filters, number: int) -> tuple[list[Shot], int]:
        """The samples of a page, and how many there are in all."""
        columns = self._columns
        keep = np.ones(len(columns["sample_id"]), bool)
        for name, wanted in (("label", filters.label), ("split", filters.split)):
            if wanted:
                keep &= columns[name] == wanted
        cohort, _, value = filters.cohort.partition("=")
        if value and f"cohort_{cohort}" in columns:
            keep &= columns[f"cohort_{cohort}"] == value
        if filters.only is not None:
            keep &= np.isin(columns["sample_id"], list(filters.only))
        found = np.flatnonzero(keep)
        return self._shots(found[number * PAGE : (number + 1) * PAGE]), len(found)

    def _shots(self, rows: Any) -> list[Shot]:
        """Images of a few rows, read from the shards that hold them."""
        from pyarrow import parquet

        images: dict[int, bytes] = {}
        for shard, first, last in self._columns["shards"]:
            inside = [int(row) for row in rows if first <= row < last]
            if inside:
                column = parquet.read_table(self._folder / shard, columns=["image"])["image"]
                images |= {row: column[row - first].as_py() for row in inside}
        columns = self._columns
        return [
            Shot(
                sample_id=str(columns["sample_id"][row]),
                label=str(columns["label"][row]),
                split=str(columns["split"][row]),
                picture=_picture(images[int(row)]),
            )
            for row in rows
        ]


def _picture(encoded: bytes) -> str:
    try:
        return thumbnail(decode(encoded).pixels)
    except (InvalidImage, DataError):
        return ""


@lru_cache(maxsize=4)
def _columns(folder: Path, shards: tuple[str, ...], cohorts: tuple[str, ...]) -> dict[str, Any]:
    """The small columns as arrays, and the rows that each shard holds."""
    import pyarrow as pa
    from pyarrow import ArrowException, parquet

    names = [*_SMALL, *(f"cohort_{name}" for name in cohorts)]
    try:
        tables = [parquet.read_table(folder / shard, columns=names) for shard in shards]
    except (OSError, ArrowException) as error:
        raise StorageError(f"{folder}: the sample table cannot be read ({error})") from error
    whole = pa.concat_tables(tables)
    first, spans = 0, []
    for shard, table in zip(shards, tables, strict=True):
        spans.append((shard, first, first + table.num_rows))
        first += table.num_rows
    found: dict[str, Any] = {name: whole[name].to_numpy(zero_copy_only=False).astype(str) for name in names}
    found["shards"] = spans
    return found
