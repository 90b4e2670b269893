"""What the server wrote of the labels that it was given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pyarrow import parquet

from linnet.records.prediction_log import FEEDBACK


def read_feedback(folder: Path) -> list[dict[str, Any]]:
    """The last label of every image, with when and from whom it came; oldest first."""
    rows: list[dict[str, Any]] = []
    for path in folder.glob(f"{FEEDBACK}-*.parquet"):
        rows += parquet.read_table(path).to_pylist()
    rows.sort(key=lambda row: row["at"])
    return list({(row["model"] or "", row["request_id"], row["index"]): row for row in rows}.values())
