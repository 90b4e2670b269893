"""From the sample table to the arrays that a model sees: decoded, resized, and their statistics."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from linnet.config import DataConfig
from linnet.errors import DataError
from linnet.process.cpus import available_cpus
from linnet.progress import Progress
from linnet.records import SPLITS, DatasetManifest
from linnet.vision.decode import channels_of, decode, resize, threads_pay
from linnet.vision.statistics import FEATURES, image_statistics

if TYPE_CHECKING:
    import pandas as pd

_BATCH = 512
_COLUMNS = ["sample_id", "label", "label_source", "split", "captured_at"]


def image_shape(data: DataConfig) -> tuple[int, int, int]:
    """Height, width and channels of what the model sees."""
    return data.height, data.width, channels_of(data.color)


def decode_samples(
    samples: Path, manifest: DatasetManifest, data: DataConfig, out: Path, progress: Progress | None = None
) -> pd.DataFrame:
    """Decodes every sample and writes `images-<split>.npy`; returns one row per sample, in file order.

    The pixels go straight to memory-mapped files, so that memory stays bounded by a batch. Large
    images are decoded in threads, as many as cores: Pillow lets go of the interpreter meanwhile.

    Returns:
        sample_id, label, label_source, split, captured_at (UTC), `cohort_<name>`, and FEATURES
        (float32), the statistics of the resized pixels.

    Raises:
        InvalidImage: a sample does not decode; the message names it.
        DataError: the table is not what its manifest says.
    """
    import pandas as pd

    height, width, channels = image_shape(data)
    arrays = {
        split: _create(out / f"images-{split}.npy", (manifest.images_of(split), height, width, channels))
        for split in SPLITS
    }
    written = dict.fromkeys(SPLITS, 0)
    frames, done = [], 0
    columns = _COLUMNS + [f"cohort_{name}" for name in manifest.cohorts]
    for frame, pixels in _decoded(samples, manifest, columns, data):
        for split in SPLITS:
            rows = np.flatnonzero(frame["split"].to_numpy() == split)
            start, end = written[split], written[split] + len(rows)
            arrays[split][start:end] = pixels[rows][: max(0, len(arrays[split]) - start)]
            written[split] = end
        statistics = pd.DataFrame(image_statistics(pixels), columns=list(FEATURES))
        frames.append(pd.concat([frame, statistics], axis=1))
        done += len(frame)
        if progress:
            progress("decode", done, manifest.rows)
    if done != sum(written.values()):
        raise DataError(str(samples), f"a sample's split is none of {', '.join(SPLITS)}")
    for split, array in arrays.items():
        if written[split] != len(array):
            found = f"split {split!r} has {written[split]} rows, the manifest says {len(array)}"
            raise DataError(str(samples), found, "ingest the dataset again")
        if isinstance(array, np.memmap):
            array.flush()
    return pd.concat(frames, ignore_index=True)


def _decoded(
    samples: Path, manifest: DatasetManifest, columns: list[str], data: DataConfig
) -> Iterator[tuple[pd.DataFrame, npt.NDArray[np.uint8]]]:
    """Batches of the table with their resized pixels [n, H, W, C]."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    shape = image_shape(data)

    def pixels(row: tuple[str, bytes]) -> npt.NDArray[np.uint8]:
        sample_id, image = row
        decoded = decode(image, f"sample {sample_id}", data.max_pixels).pixels
        return resize(decoded, data.height, data.width, data.color, data.fit)

    with ThreadPoolExecutor(available_cpus()) as pool:
        for shard in manifest.shards:
            try:
                for batch in pq.ParquetFile(samples / shard).iter_batches(
                    _BATCH, columns=[*columns, "image"]
                ):
                    encoded = batch["image"].to_pylist()
                    rows = zip(batch["sample_id"].to_pylist(), encoded, strict=True)
                    each = pool.map if threads_pay([len(image) for image in encoded]) else map
                    stacked = np.empty((batch.num_rows, *shape), np.uint8)
                    for index, image in enumerate(each(pixels, rows)):
                        stacked[index] = image
                    yield batch.select(columns).to_pandas(), stacked
            except (OSError, pa.ArrowException) as error:
                raise DataError(str(samples / shard), f"cannot be read: {error}", "ingest again") from error


def _create(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """A memory-mapped .npy file; a plain one where there is nothing to map."""
    if 0 in shape:
        empty = np.zeros(shape, np.uint8)
        np.save(path, empty)
        return empty
    return np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
