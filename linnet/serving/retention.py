"""Kept images in the prediction log are deleted after some days, or for want of room; the rows stay."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from linnet.records.prediction_log import holds, served_files, written_at
from linnet.storage.files import replacing

logger = logging.getLogger(__name__)
LOOK_SECONDS = 3600.0
_CLEARED = b"linnet.images_deleted"


async def keep_images_for(
    folder: Path, days: Mapping[str, float], otherwise: float, most_bytes: float
) -> None:
    """Deletes what is older than its model's days, or beyond `most_bytes`, at once and then every hour."""
    cleared: set[Path] = set()
    while True:
        try:
            await asyncio.to_thread(delete_images, folder, days, otherwise, time.time())
            await asyncio.to_thread(bound_images, folder, most_bytes, cleared)
        except Exception as error:  # noqa: BLE001  whatever it is, it must not end retention for good
            logger.warning("old images in the prediction log cannot be deleted: %s", error)
        await asyncio.sleep(LOOK_SECONDS)


def delete_images(folder: Path, days: Mapping[str, float], otherwise: float, now: float) -> int:
    """Deletes the images of rows logged too long before `now` (epoch seconds); returns how many.

    A file is replaced as a whole by one without its images, so that a reader never sees half of one. A
    damaged one is told and passed over.

    Args:
        folder: The prediction log.
        days: How long the images of a model are kept, by its name.
        otherwise: Days of a model that is not there.
        now: The present moment.
    """
    deleted, shortest = 0, min([otherwise, *days.values()])
    for path in served_files(folder):
        try:
            age = (now - written_at(path).timestamp()) / 86_400
            if age > shortest and age > min(
                days.get(name, otherwise) for name in holds(path).models or ("",)
            ):
                deleted += _clear(path)
        except Exception as error:  # noqa: BLE001  what is wrong with one file must not keep another's images
            logger.warning("%s: its old images cannot be deleted: %s", path, error)
    return deleted


def bound_images(folder: Path, most_bytes: float, cleared: set[Path]) -> int:
    """Deletes the images of all but the newest files, of `most_bytes` together; returns how many.

    `cleared`: files that have none any more, which are not opened again.
    """
    deleted, size = 0, 0
    for path in sorted(served_files(folder), key=lambda path: path.name, reverse=True):
        try:
            size += path.stat().st_size
            if size > most_bytes and path not in cleared:
                deleted += _clear(path)
                cleared.add(path)
        except FileNotFoundError:
            continue
        except Exception as error:  # noqa: BLE001  what is wrong with one file must not keep another's images
            logger.warning("%s: its images cannot be deleted: %s", path, error)
    return deleted


def _clear(path: Path) -> int:
    import pyarrow as pa
    from pyarrow import parquet

    about: dict[bytes, Any] = parquet.read_schema(path).metadata or {}
    if _CLEARED in about:
        return 0
    table = parquet.read_table(path)
    column = table.schema.get_field_index("image")
    images = int(table.num_rows - table.column(column).null_count)
    if not images:
        return 0
    emptied = table.set_column(column, table.schema.field(column), pa.nulls(table.num_rows, pa.binary()))
    emptied = emptied.replace_schema_metadata({**about, _CLEARED: b"yes"})
    with replacing(path) as scratch:
        parquet.write_table(emptied, scratch, compression="zstd")
    return images
