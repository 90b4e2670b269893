"""Reads the sample table that `ingest` wrote: Parquet shards whose columns DatasetManifest describes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from linnet.errors import DataError
from linnet.records import DatasetManifest


def dataset_labels(samples: Path, manifest: DatasetManifest) -> dict[str, str]:
    """The label that the dataset itself gives each sample, by sample_id.

    Raises:
        DataError: a shard cannot be read.
    """
    found: dict[str, str] = {}
    for shard in manifest.shards:
        try:
            rows = pq.read_table(samples / shard, columns=["sample_id", "label"])
        except (OSError, pa.ArrowException) as error:
            raise DataError(str(samples / shard), f"cannot be read ({error})", "ingest again") from error
        found.update(zip(rows["sample_id"].to_pylist(), rows["label"].to_pylist(), strict=True))
    return found


def read_images(samples: Path, manifest: DatasetManifest, wanted: set[str]) -> Iterator[tuple[str, bytes]]:
    """(sample_id, encoded image) of the wanted samples, from the shards of the sample table.

    Raises:
        DataError: a shard cannot be read.
    """
    for shard in manifest.shards if wanted else ():
        try:
            rows = pq.read_table(
                samples / shard, columns=["sample_id", "image"], filters=[("sample_id", "in", sorted(wanted))]
            )
        except (OSError, pa.ArrowException) as error:
            raise DataError(str(samples / shard), f"cannot be read ({error})", "ingest again") from error
        yield from zip(rows["sample_id"].to_pylist(), rows["image"].to_pylist(), strict=True)
