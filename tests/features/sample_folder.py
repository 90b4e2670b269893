"""Sample and label folders as `ingest` and `collect_labels` write them, from arrays."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from linnet.records import DatasetManifest, LabelBatch
from linnet.vision.decode import encode_png, sample_id

CAPTURED = datetime(2020, 1, 1, tzinfo=UTC)
FROZEN = datetime(2024, 1, 1, tzinfo=UTC)
CLASSES = ("zebra", "ant")  # not sorted: the manifest's order counts
_MOMENT = pa.timestamp("us", "UTC")


def pictures(count: int, height: int = 12, width: int = 10, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Distinct smooth-ish images, uint8 [count, H, W, C], of very different brightness."""
    random = np.random.default_rng(seed)
    top = random.integers(16, 256, (count, 1, 1, 1))
    return (random.random((count, height, width, channels)) * top).astype(np.uint8)


def write_samples(
    folder: Path,
    images: Sequence[npt.NDArray[np.uint8]],
    splits: Sequence[str],
    cohorts: dict[str, list[str]] | None = None,
    shard_rows: int = 400,
) -> list[str]:
    """Writes samples/; labels alternate over CLASSES; returns the sample ids."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = [sample_id(image) for image in images]
    labels = [CLASSES[index % 2] for index in range(len(ids))]
    table = pa.table(
        {
            "sample_id": ids,
            "image": [encode_png(image) for image in images],
            "label": labels,
            "label_source": ["dataset"] * len(ids),
            "split": list(splits),
            "captured_at": pa.array([CAPTURED] * len(ids), _MOMENT),
            **{f"cohort_{name}": values for name, values in (cohorts or {}).items()},
        }
    )
    shards = []
    for start in range(0, len(ids), shard_rows):
        shards.append(f"part-{len(shards):05d}.parquet")
        pq.write_table(table.slice(start, shard_rows), folder / shards[-1])
    counts: dict[str, dict[str, int]] = {}
    for split, label in zip(splits, labels, strict=True):
        kinds = counts.setdefault(split, {})
        kinds[label] = kinds.get(label, 0) + 1
    DatasetManifest(
        name="test",
        digest="dataset-digest",
        revision="",
        classes=CLASSES,
        counts=counts,
        shards=tuple(shards),
        rows=len(ids),
        raw_rows=len(ids),
        dropped_duplicates=0,
        dropped_leaks=0,
        dropped=(),
        cohorts=tuple(cohorts or {}),
    ).save(folder / "manifest.json")
    return ids


def write_labels(folder: Path, corrections: dict[str, str] | None = None) -> Path:
    """Writes labels/ with these labels by `ann`, given a year after capture."""
    given = corrections or {}
    folder.mkdir(parents=True, exist_ok=True)
    moment = [CAPTURED + timedelta(days=365)] * len(given)
    pq.write_table(
        pa.table(
            {
                "sample_id": pa.array(list(given), pa.string()),
                "label": pa.array(list(given.values()), pa.string()),
                "annotator": pa.array(["ann"] * len(given), pa.string()),
                "agreement": pa.array([1.0] * len(given), pa.float64()),
                "labelled_at": pa.array(moment, _MOMENT),
                "created_at": pa.array(moment, _MOMENT),
            }
        ),
        folder / "labels.parquet",
    )
    digest = f"labels-{sorted(given.items())}"
    LabelBatch(as_of=FROZEN, rows=len(given), digest=digest, corrections=len(given)).save(
        folder / "labels.json"
    )
    return folder
