"""Where the judge of a champion on trial writes down what it finds; console, metrics and CLI read it."""

from __future__ import annotations

from pathlib import Path

from linnet.records import BakeReport
from linnet.storage.files import file_name
from linnet.storage.paths import state_dir


def bake_file(model: str) -> Path:
    """The file of a model's newest trial."""
    return state_dir() / "bake" / f"{file_name(model)}.json"


def bake_report(model: str) -> BakeReport | None:
    """How the model's newest champion does since its canary; None: none was on trial here.

    Raises:
        StorageError: it cannot be read.
    """
    path = bake_file(model)
    return BakeReport.load(path) if path.exists() else None


def bake_sentence(report: BakeReport) -> str:
    """The report in a sentence; what is not in its figures at the end."""
    notes = f" (note: {'; '.join(report.notes)})" if report.notes else ""
    return _outcome(report) + notes


def _outcome(report: BakeReport) -> str:
    since = f"since {report.promoted_at:%Y-%m-%d %H:%M} UTC"
    seen = f"{report.images:,} images, {report.labelled:,} labelled, {since}"
    against = f"version {report.version} against version {report.last}"
    if report.problem:
        return f"{against} is proven worse and could not be rolled back: {report.problem}"
    if report.verdict == "rollback":
        return f"{against} was proven worse after its promotion and rolled back: {report.reason}"
    if report.verdict == "superseded":
        return f"{against}: ended, {report.reason}"
    if report.verdict == "kept":
        return f"{against}: over ({seen}), {report.reason}"
    until = f"what it serves until {report.ends_at:%Y-%m-%d %H:%M} UTC is judged"
    return f"{against} is on trial: {report.reason} ({seen}); {until}"
