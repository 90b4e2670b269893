"""The append-only offline files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pytest

from linnet.errors import StorageError
from linnet.features.history import read_history, record, winners

DAY = datetime(2024, 1, 1, tzinfo=UTC)
LATE = DAY + timedelta(days=100)


def rows(**values: tuple[str, int]) -> pd.DataFrame:
    """sample=(label, day of the event)."""
    return pd.DataFrame(
        {
            "sample_id": list(values),
            "label": [label for label, _ in values.values()],
            "event_timestamp": pd.to_datetime([DAY + timedelta(days=day) for _, day in values.values()]),
        }
    )


def labels_at(path: Path, moment: datetime) -> dict[str, str]:
    history = read_history(path)
    assert history is not None
    return dict(winners(history, moment)["label"])


def test_rows_that_hold_already_are_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    assert len(record(path, rows(a=("x", 0), b=("y", 0)), LATE, DAY)) == 2
    assert len(record(path, rows(b=("y", 0), a=("x", 0)), LATE, DAY)) == 0
    assert len(record(path, rows(b=("y", 0), c=("y", 0)), LATE, DAY)) == 1
    assert labels_at(path, LATE) == {"a": "x", "b": "y", "c": "y"}


def test_correction_at_the_same_time_wins_even_if_the_clock_went_back(
    tmp_path: Path,
) -> None:
    path = tmp_path / "labels.parquet"
    record(path, rows(a=("x", 0)), LATE, DAY + timedelta(days=9))
    record(path, rows(a=("y", 0)), LATE, DAY)
    assert labels_at(path, LATE) == {"a": "y"}
    assert len(read_history(path)) == 2


def test_older_row_that_differs_corrects_the_newer_one(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    record(path, rows(a=("x", 0)), LATE, DAY)
    record(path, rows(a=("y", 5)), LATE, DAY)
    record(path, rows(a=("x", 0)), LATE, DAY)
    assert labels_at(path, LATE) == {"a": "x"}
    assert labels_at(path, DAY + timedelta(days=1)) == {"a": "x"}
    assert read_history(path)["label"].tolist() == ["x", "y", "x"]


def test_file_that_is_damaged_is_named_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    path.write_bytes(b"PAR1 not really")
    with pytest.raises(StorageError, match=r"labels\.parquet.*cannot be read.*delete the file"):
        record(path, rows(a=("x", 0)), LATE, DAY)


def test_other_columns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.parquet"
    record(path, rows(a=("x", 0)), LATE, DAY)
    with pytest.raises(StorageError, match="other columns"):
        record(path, rows(a=("x", 0)).assign(more=1), LATE, DAY)
