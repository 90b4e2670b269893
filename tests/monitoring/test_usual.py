"""What is usual: requests of this time of day, and labels of the windows that were kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from linnet.monitoring.usual import labels_symptoms, usual_requests
from linnet.records.prediction_log import served_schema
from tests.console.test_production_status import performance

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
HALF_HOUR = timedelta(minutes=30)


def write(log: Path, ago: timedelta, count: int, model: str = "shop") -> None:
    """So many requests, two images each, and the file that holds them."""
    at = AT - ago
    rows = [
        {"request_id": f"r{n}", "index": index, "at": at, "model": model, "version": "1", "ok": True}
        for n in range(count)
        for index in range(2)
    ]
    log.mkdir(exist_ok=True)
    file = log / f"served-{at + timedelta(seconds=1):%Y%m%dT%H%M%S}-1-{len(list(log.iterdir())):06d}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, served_schema()), file)


def test_usual_requests_are_those_of_the_same_minutes_of_days_that_the_log_reaches(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert usual_requests(log, "shop", AT, HALF_HOUR) == ()
    write(log, timedelta(minutes=5), 50)
    assert usual_requests(log, "shop", AT, HALF_HOUR) == (), "it began today"
    write(log, timedelta(days=3), 1)
    write(log, timedelta(days=1, minutes=10), 20)
    write(log, timedelta(days=1, minutes=10), 9, "other")
    write(log, timedelta(days=1, minutes=40), 7)
    assert usual_requests(log, "shop", AT, HALF_HOUR) == (20, 0), "yesterday, and the day before: none came"


def test_labels_are_judged_by_the_windows_of_the_model_and_by_no_report_that_somebody_had_made(
    tmp_path: Path,
) -> None:
    kept = {"shop/1/20261124T100000": 0.1, "shop/2/20261124T110000": 0.2, "other/1/20261124T120000": 0.3}
    for place, contradicted in {**kept, "report": 0.4}.items():  # where `linnet drift report` writes
        folder = tmp_path / place
        folder.mkdir(parents=True)
        performance(0.9).model_copy(update={"contradicted": contradicted}).save(folder / "performance.json")
    assert labels_symptoms(tmp_path, "shop")["labels_contradict"] == 0.2
    assert labels_symptoms(tmp_path, "nobody")["labels_contradict"] == 0.0
