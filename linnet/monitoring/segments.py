"""How well each group of users is served, as requests name them, and whether accuracy fell anywhere.

Each group is held against its own past, and not against all others: shops, countries and devices differ for
good, and only a change of one of them is news. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from linnet.artifacts.reference import Reference
from linnet.monitoring.window import Rows
from linnet.records import Interval, PerformanceReport, SegmentAccuracy
from linnet.statistics.intervals import difference, simultaneous, wilson

Ints = npt.NDArray[np.int64]
Cohort = tuple[str, str]
"""Segment and value."""
MIN_EARLIER = 100
"""Fewest labels of earlier windows that a group is held against."""


def segment_accuracy(
    rows: Rows, given: Ints, scores: Sequence[float], earlier: Iterable[PerformanceReport], level: float
) -> tuple[SegmentAccuracy, ...]:
    """Accuracy of each group whose labels came.

    Args:
        rows: of the window.
        given: indices of those with a label.
        scores: in [0, 1], of these.
        earlier: reports of earlier windows, of whatever version.
        level: of the intervals.
    """
    past: dict[Cohort, tuple[float, int]] = {}
    for report in earlier:
        for one in report.segments:
            right, labelled = past.get((one.segment, one.value), (0.0, 0))
            past[one.segment, one.value] = right + one.right, labelled + one.labelled
    found, values = [], np.asarray(scores, float)
    for (segment, value), inside in rows.cohorts.items():
        mine = values[inside[given]]
        if not len(mine):
            continue
        before, labelled = past.get((segment, value), (0.0, 0))
        found.append(
            SegmentAccuracy(
                segment=segment, value=value, labelled=len(mine), right=float(mine.sum()),
                accuracy=wilson(float(mine.sum()), len(mine), level),
                reference=before / labelled if labelled >= MIN_EARLIER else None, earlier=labelled,
            )
        )  # fmt: skip
    return tuple(found)


def accuracy_falls(report: PerformanceReport, reference: Reference, level: float) -> dict[str, float]:
    """How far accuracy is proven to lie below what it was, by cohort (`column=value`); 0: it is not.

    All images and each class (its recall) against the held-out images, each group of users against its own
    past; the intervals hold all together, and allow for how few images the past may have been.
    """
    known: dict[str, tuple[float, int, float, int]] = {}
    """Right ones and images before, and now."""
    if report.accuracy is not None:
        held, right = reference.held_out, report.accuracy.value * report.labelled
        known["all=all"] = reference.accuracy * held, held, right, report.labelled
    for drift in report.confusion_drift:
        before = int(reference.confusion[reference.classes.index(drift.label)].sum())
        right = drift.recall.value * drift.rows
        known[f"class={drift.label}"] = drift.reference_recall * before, before, right, drift.rows
    for one in report.segments:
        if one.reference is not None:
            past = one.reference * one.earlier
            known[f"{one.segment}={one.value}"] = past, one.earlier, one.right, one.labelled
    widened = simultaneous(level, len(known))
    return {
        name: max(difference(_share(before, of, widened), _share(right, count, widened)).low, 0.0)
        for name, (before, of, right, count) in known.items()
    }


def _share(right: float, count: int, level: float) -> Interval:
    """Of scores that add up to `right`, whose rounding must not make them more than there are."""
    return wilson(min(right, count), count, level)
