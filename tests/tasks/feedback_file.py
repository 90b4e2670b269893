"""True labels of logged requests `r0`, `r1`, ..., as users would have sent them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from linnet.records.prediction_log import FEEDBACK, feedback_schema, new_file


def write_feedback(folder: Path, model: str, labels: Sequence[str]) -> None:
    at = datetime.now(UTC)
    rows = [
        {"model": model, "request_id": f"r{n}", "index": 0, "label": label, "at": at, "source": ""}
        for n, label in enumerate(labels)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=feedback_schema()), new_file(folder, FEEDBACK, 1))
