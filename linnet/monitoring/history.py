"""What was found in earlier windows of a version: the memory of the false-discovery control.

`.linnet/monitoring/MODEL/VERSION/START/` keeps the records and the page of a window, not its rows.
"""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

from linnet.records import DriftReport, Window
from linnet.storage.files import file_name, writing
from linnet.storage.paths import state_dir

DRIFT_FILE = "drift.json"
_ROWS = ".parquet"


def history_folder(model: str, version: str) -> Path:
    """Where the windows of a version are kept."""
    return state_dir() / "monitoring" / file_name(model) / file_name(version)


def past_reports(model: str, version: str, before: datetime | None = None) -> list[DriftReport]:
    """Reports of the version's earlier windows, the oldest first; those that start before `before`."""
    folder = history_folder(model, version)
    reports = [DriftReport.load(path) for path in sorted(folder.glob(f"*/{DRIFT_FILE}"))]
    return sorted(
        (report for report in reports if before is None or report.window.start < before),
        key=lambda report: report.window.start,
    )


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
