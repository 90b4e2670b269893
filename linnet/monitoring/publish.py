"""The page of a window, and the place where its records are kept."""

from __future__ import annotations

from pathlib import Path

from linnet.artifacts.reference import Reference
from linnet.monitoring.evidently import EVIDENTLY_FILE, available, write_evidently
from linnet.monitoring.history import DRIFT_FILE, PERFORMANCE_FILE, keep
from linnet.monitoring.page import PAGE_FILE, PageData, render
from linnet.monitoring.window import Rows
from linnet.records import DriftReport, PerformanceReport, SkewReport
from linnet.storage.files import write_text

_SKEW_FILE = "skew.json"


def publish(
    window: Path,
    package: Path,
    found: list[Path],
    out: Path,
    evidently: bool | None = None,
    kept: bool = True,
) -> Path:
    """Writes report.html to `out`, and keeps it and all records as the history of the version.

    Args:
        window: folder of the window's rows.
        package: the version's package.
        found: folders with drift.json and, where they were made, performance.json and skew.json.
        out: gets report.html (and evidently.html).
        evidently: whether to write Evidently's view too; None: if it is installed.
        kept: whether the window becomes part of the version's history.

    Returns:
        The folder where page and records lie to stay: the history's, or `out`.

    Raises:
        StorageError: a record cannot be read, or the history cannot be written.
        ConfigError: Evidently was asked for and is not installed.
    """
    records = {path.name: path for folder in found for path in folder.glob("*.json")}
    report = DriftReport.load(records[DRIFT_FILE])
    reference = Reference.load(package)
    rows = Rows.load(window, len(reference.features), len(reference.classes), reference.answer)
    out.mkdir(parents=True, exist_ok=True)
    (out / EVIDENTLY_FILE).unlink(missing_ok=True)
    if evidently or (evidently is None and available() and report.window.enough):
        write_evidently(rows, reference, out)
    evidence = PageData(
        reference=reference,
        rows=rows,
        performance=PerformanceReport.load(records[PERFORMANCE_FILE])
        if PERFORMANCE_FILE in records
        else None,
        skew=SkewReport.load(records[_SKEW_FILE]) if _SKEW_FILE in records else None,
        evidently=(out / EVIDENTLY_FILE).exists(),
    )
    write_text(out / PAGE_FILE, render(report, evidence))
    return keep(report.window, window, *found, out) if kept else out
