"""What is usual: requests of this time of day, labels of a window, and how each group of users did."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any

from linnet.errors import StorageError
from linnet.monitoring.history import model_performance
from linnet.monitoring.label_stream import labels_stopped
from linnet.records import PerformanceReport
from linnet.records.prediction_log import served_files, served_schema, written_at

logger = logging.getLogger(__name__)
_DAYS = (1, 2, 7)
"""Before today, on which the same minutes tell what is usual."""
_LATE = timedelta(minutes=1)
"""A row is written this long after it was answered, at most."""
_WINDOWS = 25


def usual_requests(log: Path, model: str, at: datetime, span: timedelta) -> tuple[int, ...]:
    """Requests to a model in the same `span` of days before; none of a day that the log does not reach."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    if not log.is_dir():
        return ()
    files = sorted((written_at(path), path) for path in served_files(log, lambda _: None))
    found = []
    for days in _DAYS:
        end = at - timedelta(days=days)
        if not files or files[0][0] > end - span:
            continue
        paths = [str(path) for moment, path in files if end - span <= moment <= end + _LATE]
        field = served_schema().field("at").type
        inside = (ds.field("at") >= pa.scalar(end - span, field)) & (ds.field("at") < pa.scalar(end, field))
        wanted = inside & (ds.field("model") == model) & (ds.field("index") == 0)
        try:
            source = ds.dataset(paths, schema=served_schema(), format="parquet") if paths else None
            found.append(source.count_rows(filter=wanted) if source else 0)
        except (OSError, ValueError, pa.ArrowException) as error:
            logger.warning("what was usual %d days ago is not known: %s", days, error)
    return tuple(found)


def of_cohorts(drift: dict[str, Any], performance: dict[str, Any]) -> dict[str, Any]:
    """Fields of `Symptoms` about groups, from a window's records."""
    moved = [f"{one['cohort']}={one['value']}" for one in drift.get("cohorts", []) if one.get("drifted")]
    return {"falls": performance.get("falls", {}), "drifted_cohorts": tuple(moved)}


def labels_symptoms(windows: Path, model: str) -> dict[str, Any]:
    """Fields of `Symptoms` about labels, from the newest windows of a model."""
    reports: list[PerformanceReport] = []
    try:
        reports += islice(model_performance(windows, model), _WINDOWS)
    except StorageError as error:
        logger.warning("whether labels still come is not known: %s", error)
    labelled = next((one for one in reports if one.labelled), None)
    return {
        "labels_stopped": labels_stopped(reports),
        "labels_contradict": labelled.contradicted if labelled else 0.0,
    }
