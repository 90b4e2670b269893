"""Whether the labels that come can be believed, and whether they still come. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from linnet.records import PerformanceReport
from linnet.statistics.intervals import wilson

SURE = 0.9
"""Answers at least this confident are right nine times of ten; labels that say otherwise are counted."""
MIN_SURE = 20
"""Fewest sure answers of a class that say anything."""
_MOST_CLASSES_LEFT_OUT = 0.25
MIN_BEFORE, MIN_EXPECTED = 3, 20.0
"""Earlier windows with labels that tell what is usual, and labels that the newest one must have had."""
_USUAL = 0.1
"""Of the usual share of labels: fewer have stopped coming."""


def contradicted_share(
    confidence: npt.NDArray[np.floating], right: npt.NDArray[np.bool_], named: npt.NDArray[np.int64]
) -> float:
    """How many of the labels contradict sure answers beyond what confidence admits, in nearly every class.

    A class that is broken, or an answer that got worse where it was unsure, contradicts some; labels that are
    given carelessly contradict all alike. Proven: the lower bound of three quarters of the classes.

    Args:
        confidence: calibrated, of the labelled answers [N].
        right: whether the label agrees [N].
        named: the class that each answer names [N].

    Returns:
        A share in [0, 1]; 0 where too few sure answers came, or nothing is proven.
    """
    sure = confidence >= SURE
    beyond = []
    for name in np.unique(named[sure]):
        mine = sure & (named == name)
        count = int(mine.sum())
        if count < MIN_SURE:
            continue
        wrong = wilson(float((~right[mine]).sum()), count, 0.95).low
        beyond.append(max(wrong - float((1.0 - confidence[mine]).mean()), 0.0))
    if len(beyond) < 2:
        return 0.0
    return float(np.quantile(beyond, _MOST_CLASSES_LEFT_OUT))


def labels_stopped(reports: Sequence[PerformanceReport]) -> str:
    """Why the labels of the newest window are missing in earnest; empty: they are not, or nobody can say.

    Each window is judged as soon after its end as the others, so that labels which take their time are as
    many in each.

    Args:
        reports: of a model's windows, the newest first.
    """
    if not reports:
        return ""
    newest, before = reports[0], [one for one in reports[1:] if one.labelled and one.window.served]
    if len(before) < MIN_BEFORE:
        return ""
    usual = float(np.median([one.labelled / one.window.served for one in before]))
    expected = usual * newest.window.served
    if expected < MIN_EXPECTED or newest.labelled >= _USUAL * expected:
        return ""
    last = max(one.window.end for one in before)
    return (
        f"{newest.labelled} labels came for the window that ended {newest.window.end:%Y-%m-%d %H:%M} UTC, "
        f"where {expected:.0f} are usual; the last came for the one until {last:%H:%M}"
    )
