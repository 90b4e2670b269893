"""The sample table as data frames that expectations can be checked on; every image is decoded again."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from linnet.data.sample_table import schema
from linnet.errors import DataError, InvalidImage
from linnet.process.cpus import available_cpus
from linnet.progress import Progress
from linnet.records import DatasetManifest, ValidationReport
from linnet.statistics.distances import jensen_shannon
from linnet.tasks.target import target_of
from linnet.vision.decode import decode, threads_pay

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


OK = "ok"
_BATCH = 2_000


@dataclass(slots=True)
class Table:
    """The sample table without its image bytes, and what is wrong with its columns."""

    rows: pd.DataFrame
    """Columns that every shard has, plus `decoding` ("ok" or what is wrong), `pixel_digest`,
    `size` and `decoded_size` ("HxWxC"), and `splits` (in how many splits the sample_id stands)."""
    columns: pd.DataFrame
    """One row per required column and shard: column, shard, expected and found type."""
    missing: set[str] = field(default_factory=set)


def read_table(samples: Path, manifest: DatasetManifest, max_pixels: int, progress: Progress | None) -> Table:
    """Reads all shards, and decodes every image.

    Raises:
        DataError: a shard is missing or is no Parquet file.
    """
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = schema(manifest.cohorts)
    parts: list[pd.DataFrame] = []
    found: list[tuple[str, str, str, str]] = []
    done = 0
    for shard in manifest.shards:
        try:
            file = pq.ParquetFile(samples / shard)
            found += _columns(wanted, file.schema_arrow, shard)
            known = [name for name in wanted.names if name in file.schema_arrow.names]
            batches = file.iter_batches(_BATCH, columns=known)
            for batch in batches:
                parts.append(_frame(batch, max_pixels))
                done += batch.num_rows
                if progress:
                    progress("checking images", done, manifest.rows)
            file.close()
        except (OSError, pa.ArrowException) as error:
            raise DataError(
                str(samples / shard), f"is not a readable shard ({error})", "ingest again"
            ) from error
    columns = pd.DataFrame(found, columns=["column", "shard", "expected", "found"])
    missing = set(columns.loc[columns["found"] == "", "column"])
    rows = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({n: [] for n in wanted.names})
    rows = rows.drop(columns=[name for name in missing if name in rows])
    if not {"sample_id", "split"} & missing:
        rows["splits"] = rows.groupby("sample_id", dropna=False)["split"].transform("nunique")
    return Table(rows, columns, missing)


def class_frame(
    table: Table,
    config_classes: tuple[str, ...],
    manifest: DatasetManifest,
    previous: ValidationReport | None,
    unjudged: tuple[str, ...] = (),
) -> pd.DataFrame:
    """One row per class that the config, the manifest or the accepted version names.

    Columns: class, images (in all splits), train, test (empty for an `unjudged` class), named_by (who
    expects it).
    """
    import pandas as pd

    sources = {
        "config": config_classes,
        "manifest": manifest.classes,
        "accepted version": tuple(previous.counts) if previous else (),
    }
    names = list(dict.fromkeys(name for source in sources.values() for name in source))
    target = target_of(manifest.task)
    each = table.rows[["label", "split"]].dropna(subset=["label"])
    each = each.assign(label=each["label"].map(target.classes)).explode("label")
    images = each["label"].value_counts()
    train = each.loc[each["split"] == "train", "label"].value_counts()
    test = each.loc[each["split"] == "test", "label"].value_counts()
    return pd.DataFrame(
        {
            "class": names,
            "images": [int(images.get(name, 0)) for name in names],
            "train": [int(train.get(name, 0)) for name in names],
            "test": [None if name in unjudged else int(test.get(name, 0)) for name in names],
            "named_by": [", ".join(key for key, source in sources.items() if n in source) for n in names],
        }
    )


def dataset_frame(
    classes: pd.DataFrame, manifest: DatasetManifest, previous: ValidationReport | None
) -> pd.DataFrame:
    """One row of facts: imbalance, shares of what was dropped or leaks, class_drift (0 at first)."""
    import pandas as pd

    counts = classes["train"].to_numpy()
    drift = 0.0
    if previous is not None:
        before = np.array([previous.counts.get(name, 0) for name in classes["class"]])
        drift = jensen_shannon(counts, before)
    smallest = max(int(counts.min()), 1) if len(counts) else 1
    return pd.DataFrame(
        {
            "dataset": [manifest.name],
            "imbalance": [float(counts.max(initial=0)) / smallest],
            "bad_fraction": [manifest.bad / max(manifest.raw_rows, 1)],
            "duplicate_fraction": [manifest.dropped_duplicates / max(manifest.raw_rows, 1)],
            "conflict_fraction": [manifest.conflicts / max(manifest.raw_rows, 1)],
            "near_leak_fraction": [manifest.near_leaks / max(manifest.raw_rows, 1)],
            "class_drift": [drift],
        }
    )


def _columns(wanted: pa.Schema, found: pa.Schema, shard: str) -> Iterator[tuple[str, str, str, str]]:
    for column in wanted:
        index = found.get_field_index(column.name)
        kind = str(found.field(index).type) if index >= 0 else ""
        yield column.name, shard, str(column.type), kind


def _frame(batch: pa.RecordBatch, max_pixels: int) -> pd.DataFrame:
    """The rows of a batch with what decoding showed in the place of the image."""
    names = batch.schema.names
    plain = batch.select([name for name in names if name != "image"])
    rows: pd.DataFrame = plain.to_pandas()
    if "image" in names:
        looks = _look_at(batch.column("image").to_pylist(), max_pixels)
        rows["decoding"] = [look[0] for look in looks]
        rows["pixel_digest"] = [look[1] for look in looks]
        rows["decoded_size"] = [look[2] for look in looks]
    sides = ("height", "width", "channels")
    if all(name in rows for name in sides):
        height, width, channels = (rows[name].tolist() for name in sides)
        rows["size"] = [f"{h}x{w}x{c}" for h, w, c in zip(height, width, channels, strict=True)]
    return rows


def _look_at(images: list[Any], max_pixels: int) -> list[tuple[str, str | None, str | None]]:
    def look(image: Any) -> tuple[str, str | None, str | None]:
        if not isinstance(image, bytes):
            return "the image is missing", None, None
        try:
            decoded = decode(image, "image", max_pixels)
        except InvalidImage as error:
            return error.problem, None, None
        height, width, channels = decoded.pixels.shape
        return OK, decoded.sample_id, f"{height}x{width}x{channels}"

    if not threads_pay([len(image) for image in images if isinstance(image, bytes)]):
        return [look(image) for image in images]
    with ThreadPoolExecutor(available_cpus()) as pool:
        return list(pool.map(look, images))
