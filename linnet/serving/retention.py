"""Sampled images in the prediction log are deleted after a number of days; the rest of the rows stays."""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

from linnet.records.prediction_log import served_files, written_at
from linnet.storage.files import replacing

logger = logging.getLogger(__name__)
LOOK_SECONDS = 3600.0
_CLEARED = b"linnet.images_deleted"


async def keep_images_for(folder: Path, days: float) -> None:
    """Deletes what is older than `days`, at once and then every hour, for ever."""
    while True:
        try:
            await asyncio.to_thread(delete_images, folder, days, time.time())
        except Exception as error:  # noqa: BLE001  a damaged file must not end retention for good
            logger.warning("old images in the prediction log cannot be deleted: %s", error)
        await asyncio.sleep(LOOK_SECONDS)


def delete_images(folder: Path, days: float, now: float) -> int:
    """Deletes the images of rows logged more than `days` before `now` (epoch seconds); returns how many.

    A file is replaced as a whole by one without its images, so that a reader never sees half of one.
    """
    deleted = 0
    for path in served_files(folder):
        if written_at(path).timestamp() < now - days * 86_400:
            deleted += _clear(path)
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
