"""The window that is still open: what the champion is being asked now, before the monitoring judges it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from linnet.artifacts.reference import Reference
from linnet.config import MonitoringConfig
from linnet.monitoring.history import earlier_performance, past_p_values, segment_baseline
from linnet.monitoring.measure import compare_with_reference
from linnet.monitoring.performance import judge, labels_of
from linnet.monitoring.window import Rows, damaged_files, last_closed, write_window
from linnet.records import DriftReport, PerformanceReport


@dataclass(frozen=True, slots=True)
class OpenWindow:
    """What the newest traffic says; nothing of it is kept in the history of windows."""

    drift: DriftReport
    performance: PerformanceReport
    notes: tuple[str, ...] = ()
    """Files of the log that could not be read, and are missing in both."""


def judge_open_window(
    log: Path,
    model: str,
    version: str,
    package: Path,
    config: MonitoringConfig,
    span: timedelta,
    at: datetime,
) -> OpenWindow:
    """Judges the last `span` of traffic up to `at`; where that is too little, all since the last full window.

    The shorter span first: what began five minutes ago would drown in an hour. Embeddings are not
    compared, so that it takes no model and less than a second.

    Args:
        log: folder of the prediction log.
        model: the model's name.
        version: its champion.
        package: the champion's package, for its reference.
        config: how much traffic a verdict needs, and what counts as drift.
        span: how far to look back first.
        at: the present moment.

    Raises:
        StorageError: there is no log, or the reference cannot be read.
    """
    reference = Reference.load(package)
    opened = last_closed(at, config)[1]
    starts = [at - span] + ([opened] if opened < at - span else [])
    past = past_p_values(model, version, starts[0])
    for start in starts:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "window"
            window = write_window(log, model, version, start, at, config, folder)
            rows = Rows.load(folder, len(reference.features), len(reference.classes), reference.answer)
            damaged = damaged_files(folder)
        if window.enough:
            break
    baseline, earlier = segment_baseline(model, version, starts[0]), earlier_performance(model, starts[0])
    drift = compare_with_reference(window, rows, reference, None, config, past, baseline)
    given = labels_of(rows, window, log)
    notes = tuple(f"the log's file {one} is left out" for one in (*damaged, *given.damaged)) + given.notes
    report = judge(window, rows, reference, given.labels, drift, config, earlier)
    return OpenWindow(drift, report, notes)
