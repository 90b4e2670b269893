"""What the retraining policy is asked about: the champion's windows, its labels, and rollouts of ours."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from linnet.errors import StorageError
from linnet.monitoring.history import DRIFT_FILE, PERFORMANCE_FILE, history_folder
from linnet.monitoring.recent import LabelledWindow
from linnet.records import DriftReport, Interval, PerformanceReport, RetrainingEvidence, WindowFinding
from linnet.statistics.intervals import difference, wilson
from linnet.storage.files import files_in_each

logger = logging.getLogger(__name__)
MOST_WINDOWS = 50
MIN_LABELLED, LEVEL = 30, 0.95
"""Fewest labels that the accuracy lost is measured by, and the level of its interval."""
Span = tuple[datetime, datetime | None]
"""A rollout: from, to; None: it is under way."""


@dataclass(frozen=True, slots=True)
class ServedChampion:
    """The champion, as evidence needs it."""

    model: str
    version: str | None
    registered_at: datetime | None
    rolled_back: datetime | None = None
    """When one before it was rolled back by itself."""
    open_questions: int = 0
    """Questions that people did not answer yet."""
    training: str = ""
    """The training run of the model that is under way; empty: none is."""


def gather_evidence(
    served: ServedChampion, rollouts: Sequence[Span], labelled: LabelledWindow
) -> RetrainingEvidence:
    """The evidence on the champion; `labelled`: its labelled production images.

    A window whose records cannot be read is told and counted: no retraining would be decided otherwise.
    """
    if served.version is None:
        return RetrainingEvidence(
            model=served.model, champion=None, trained_until=None, windows=(), new_labels=0
        )
    folder = history_folder(served.model, served.version)
    found = files_in_each(folder, DRIFT_FILE)
    findings: list[WindowFinding] = []
    thin = unread = 0
    for path in reversed(
        found
    ):  # thin windows, of a quiet weekend say, leave the busy ones before them in sight
        if len(findings) == MOST_WINDOWS:
            break
        try:
            finding = _finding(path.parent, rollouts)
        except StorageError as error:
            logger.warning("a window of %s is not counted: %s", served.model, error)
            unread += 1
            continue
        if finding is None:
            thin += 1
        else:
            findings.append(finding)
    loss, count = _recent_loss(folder, findings, labelled)
    return RetrainingEvidence(
        model=served.model,
        champion=served.version,
        trained_until=served.registered_at,
        windows=tuple(sorted(findings, key=lambda window: window.start)),
        thin_windows=thin,
        unread_windows=unread,
        new_labels=len(labelled.images),
        label_notes=labelled.notes,
        rollout_active=any(end is None for _, end in rollouts),
        training=served.training,
        recent_loss=loss,
        recent_labelled=count,
        open_questions=served.open_questions,
        rolled_back=served.rolled_back,
        facts={"drift_report": str(found[-1])} if found else {},
    )


def _recent_loss(
    folder: Path, findings: Sequence[WindowFinding], labelled: LabelledWindow
) -> tuple[Interval | None, int]:
    """Accuracy lost on what was served since drift began, whenever its labels came; and of how many images.

    A window is judged once, when it closes; people answer later.
    """
    since = None
    for window in sorted(findings, key=lambda one: one.start, reverse=True):
        if not window.violates:
            break
        since = window.start
    scores = [score for at, score in labelled.scores if since is not None and at >= since]
    if since is None or len(scores) < MIN_LABELLED:
        return None, len(scores)
    reference = _reference(folder)
    if reference is None:
        return None, len(scores)
    accuracy, held = reference
    before = wilson(min(accuracy * held, held), held, LEVEL)
    return difference(before, wilson(sum(scores), len(scores), LEVEL)), len(scores)


def _reference(folder: Path) -> tuple[float, int] | None:
    """Accuracy before, and of how many rows, by the newest window that can be read; None: none can."""
    for path in reversed(files_in_each(folder, PERFORMANCE_FILE)):
        try:
            held = DriftReport.load(path.with_name(DRIFT_FILE)).reference_held_out
            return PerformanceReport.load(path).reference_accuracy, held
        except StorageError:  # told and counted where the windows are found
            continue
    return None


def _finding(folder: Path, rollouts: Sequence[Span]) -> WindowFinding | None:
    """A window as the policy sees it; None: too little was served in it for a verdict, so it says nothing.

    A quiet night would otherwise push the violations of the day before out of sight.
    """
    drift = DriftReport.load(folder / DRIFT_FILE)
    if drift.verdict == "insufficient":
        return None
    try:
        performance: PerformanceReport | None = PerformanceReport.load(folder / PERFORMANCE_FILE)
    except StorageError:
        if (folder / PERFORMANCE_FILE).exists():
            raise
        performance = None
    window = drift.window
    touched = any(start < window.end and (end is None or end > window.start) for start, end in rollouts)
    return WindowFinding(
        start=window.start,
        end=window.end,
        version=window.version,
        violates=drift.verdict == "drift",
        rollout=touched,
        reasons=tuple(drift.reasons),
        accuracy=performance.accuracy if performance else None,
        labelled=performance.labelled if performance else 0,
        loss=performance.loss if performance else None,
    )
