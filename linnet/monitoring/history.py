"""What was found in earlier windows of a version: the memory of the false-discovery control.

`.linnet/monitoring/MODEL/VERSION/START/` keeps the records and the page of a window, not its rows.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path

from linnet.errors import StorageError
from linnet.monitoring.cohort_drift import BASELINE_FILE, Baseline, add_window
from linnet.records import DriftReport, PerformanceReport, Window
from linnet.storage.files import file_name, files_in_each, writing
from linnet.storage.paths import state_dir

logger = logging.getLogger(__name__)
DRIFT_FILE = "drift.json"
PERFORMANCE_FILE = "performance.json"
_ROWS = ".parquet"
EARLIER_WINDOWS, FIRST_WINDOWS = 20, 5
"""Windows that a group's accuracy, and what it sends, is held against."""


def windows_folder() -> Path:
    """Where the windows of all models are kept."""
    return state_dir() / "monitoring"


def history_folder(model: str, version: str) -> Path:
    """Where the windows of a version are kept."""
    return windows_folder() / file_name(model) / file_name(version)


def past_reports(model: str, version: str, before: datetime | None = None) -> list[DriftReport]:
    """Reports of the version's earlier windows, the oldest first; those that start before `before`.

    One that cannot be read is told and left out: no later window would be judged otherwise.
    """
    reports = []
    for path in files_in_each(history_folder(model, version), DRIFT_FILE):
        try:
            report = DriftReport.load(path)
        except StorageError as error:
            logger.warning("an earlier window is left out: %s", error)
            continue
        if before is None or report.window.start < before:
            reports.append(report)
    return sorted(reports, key=lambda report: report.window.start)


def performance_reports(model: str, version: str) -> Iterator[PerformanceReport]:
    """How well the version did in each window, the newest first; what cannot be read is told and left out."""
    for path in reversed(files_in_each(history_folder(model, version), PERFORMANCE_FILE)):
        try:
            yield PerformanceReport.load(path)
        except StorageError as error:
            logger.warning("how well %s did in a window is left out: %s", model, error)


def model_performance(windows: Path, model: str) -> Iterator[PerformanceReport]:
    """How well a model did in each window, whichever version was champion; the newest first.

    What cannot be read is told and left out. `windows`: the folder of all models' windows.

    Raises:
        StorageError: a folder of the model cannot be listed.
    """
    versions = files_in_each(windows / file_name(model), "")
    paths = [path for version in versions for path in files_in_each(version, PERFORMANCE_FILE)]
    for path in sorted(paths, key=lambda path: path.parent.name, reverse=True):
        try:
            yield PerformanceReport.load(path)
        except StorageError as error:
            logger.warning("how well %s did in a window is left out: %s", model, error)


def earlier_performance(model: str, before: datetime) -> list[PerformanceReport]:
    """How well the model did in its last labelled windows before a moment, whichever version was champion."""
    reports = model_performance(windows_folder(), model)
    return list(
        islice((one for one in reports if one.labelled and one.window.start < before), EARLIER_WINDOWS)
    )


def segment_baseline(model: str, version: str, before: datetime) -> Baseline:
    """What each group of users sent in the version's first windows, before a moment."""
    baseline = Baseline()
    for path in files_in_each(history_folder(model, version), BASELINE_FILE)[:FIRST_WINDOWS]:
        if path.parent.name >= f"{before:%Y%m%dT%H%M%S}":
            break
        try:
            add_window(baseline, path)
        except (OSError, ValueError, KeyError) as error:
            logger.warning("%s: an earlier window is left out: %s", path, error)
    return baseline


def past_p_values(model: str, version: str, before: datetime) -> list[float]:
    """p-values of the earlier windows that were tested, the oldest first."""
    return [r.p_value for r in past_reports(model, version, before) if r.verdict != "insufficient"]


def keep(window: Window, *folders: Path) -> Path:
    """Keeps the records and pages in `folders` as those of `window`; again replaces them."""
    target = history_folder(window.model, window.version) / f"{window.start:%Y%m%dT%H%M%S}"
    with writing(target):
        target.mkdir(parents=True, exist_ok=True)
        for folder in folders:
            for path in folder.iterdir():
                if path.is_file() and path.suffix != _ROWS:
                    shutil.copy(path, target / path.name)
    return target
