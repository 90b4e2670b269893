"""The offline files: append-only Parquet histories, replaced as a whole so that a kill harms nothing.

Feast's own offline write can neither create a file nor replace it in one step, so rows are written
here, and read through Feast only.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from linnet.errors import StorageError
from linnet.storage.files import replacing

if TYPE_CHECKING:
    import pandas as pd

KEY, EVENT, CREATED = "sample_id", "event_timestamp", "created"
INPUT = "model_input"
"""Second key of what depends on how an image is prepared: `vision.preprocessing.input_key`."""


def read_history(path: Path) -> pd.DataFrame | None:
    """All rows ever written, oldest first; None if there is no file yet.

    Raises:
        StorageError: the file is damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        return None
    try:
        history: pd.DataFrame = pq.read_table(path).to_pandas()
    except (OSError, pa.ArrowException) as error:
        raise StorageError(
            f"{path}: the feature history cannot be read ({error}); delete the file, the next run rebuilds it"
        ) from error
    return history


def of_input(history: pd.DataFrame, model_input: str) -> pd.DataFrame:
    """The rows that speak of images prepared as `model_input` says."""
    return history[history[INPUT] == model_input]


def winners(history: pd.DataFrame, as_of: datetime) -> pd.DataFrame:
    """The row of each sample that holds at `as_of`: newest event, then latest written.

    A history with INPUT is first narrowed down to one of them by `of_input`.
    """
    known = history[history[EVENT] <= as_of]
    newest = known.sort_values([EVENT, CREATED], kind="stable").drop_duplicates(KEY, keep="last")
    return newest.set_index(KEY)


def record(path: Path, rows: pd.DataFrame, as_of: datetime, moment: datetime) -> pd.DataFrame:
    """Appends those of `rows` that the history does not hold already; returns what was appended.

    Args:
        path: the Parquet file; it is created when missing.
        rows: sample_id (unique), event_timestamp (UTC) and values; no `created`. Where they have
            INPUT, it is the same in all of them, and rows of other inputs are left as they are.
        as_of: the moment at which a row must be the one that holds.
        moment: becomes `created`, or a microsecond after the newest row if a clock went back.

    A row is held already if the winner of its sample at `as_of` has the same bits and is no older.
    A row that differs from a newer winner takes the winner's event time: it corrects it.

    Raises:
        StorageError: the file is damaged or cannot be written.
    """
    import pandas as pd

    history = read_history(path)
    rows = rows.reset_index(drop=True)
    if history is None:
        fresh = rows.assign(**{CREATED: pd.Timestamp(moment).as_unit("us")})
    else:
        if set(history.columns) != {*rows.columns, CREATED}:
            raise StorageError(
                f"{path}: the feature history has other columns ({', '.join(history.columns)}) than this "
                "version of Linnet writes; move the file away, the next run rebuilds it"
            )
        rivals = of_input(history, rows[INPUT].iloc[0]) if INPUT in rows and len(rows) else history
        fresh = _changed(rows, winners(rivals, as_of))
        newest = history[CREATED].max() if len(history) else pd.Timestamp(moment)
        created = max(pd.Timestamp(moment), newest + timedelta(microseconds=1))
        fresh = fresh.assign(**{CREATED: created.as_unit("us")})
    if len(fresh) or history is None:
        _replace(path, fresh if history is None else pd.concat([history, fresh], ignore_index=True))
    return fresh


def name_input(path: Path, model_input: str) -> None:
    """Gives the rows of a history that a version before INPUT wrote the input that they are of.

    Raises:
        StorageError: the file is damaged or cannot be written.
    """
    history = read_history(path)
    if history is not None and INPUT not in history:
        _replace(path, history.assign(**{INPUT: model_input}))


def _changed(rows: pd.DataFrame, current: pd.DataFrame) -> pd.DataFrame:
    """The rows that `current` (the winners) does not hold, at the event time that makes them hold."""
    import numpy as np

    held = current.reindex(rows[KEY])
    missing = held[EVENT].isna().to_numpy()
    older = (held[EVENT].to_numpy() < rows[EVENT].to_numpy()) & ~missing
    differs = np.zeros(len(rows), bool)
    for name in rows.columns.difference([KEY, EVENT]):
        ours, theirs = rows[name].to_numpy(), held[name].to_numpy()
        if ours.dtype == np.float32:
            ours, theirs = ours.view(np.uint32), theirs.astype(np.float32).view(np.uint32)
        differs |= ours != theirs
    fresh = rows[missing | older | differs].copy()
    fresh[EVENT] = fresh[EVENT].where(
        ~(differs & ~missing & ~older)[fresh.index], held[EVENT].to_numpy()[fresh.index]
    )
    return fresh


def _replace(path: Path, history: pd.DataFrame) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.Table.from_pandas(history, preserve_index=False)
    stamp = pa.timestamp("us", "UTC")
    for name in (EVENT, CREATED):
        table = table.set_column(table.schema.get_field_index(name), name, table[name].cast(stamp))
    try:
        with replacing(path) as scratch:
            pq.write_table(table, scratch)
    except OSError as error:
        raise StorageError(f"{path}: the feature history cannot be written: {error}") from error
