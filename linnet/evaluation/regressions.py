"""What production taught, asked again: candidate and champion on the test share of each window. Pure."""

from __future__ import annotations

import numpy as np

from linnet.evaluation.compare import compare_to_champion
from linnet.records import RegressionSet
from linnet.statistics.intervals import wilson
from linnet.statistics.metrics import Bools, Ints

ALL = "all windows"
Strings = np.ndarray[tuple[int], np.dtype[np.str_]]


def regression_sets(
    windows: Strings, labels: Ints, candidate: Ints, champion: Ints | None, version: str, confidence: float
) -> tuple[RegressionSet, ...]:
    """A set a window, by name, and of several one of all their samples.

    Args:
        windows: the window of each of N samples.
        labels: true class [N].
        candidate: its predicted class [N]; -1 counts as wrong.
        champion: the same of the champion; None: there is none.
        version: the champion's.
        confidence: level of each interval.
    """
    names = sorted(set(windows.tolist()))
    chosen = {name: windows == name for name in names}
    if len(names) > 1:
        chosen[ALL] = np.ones(len(labels), bool)
    return tuple(
        _one(name, rows, labels, candidate, champion, version, confidence) for name, rows in chosen.items()
    )


def _one(
    name: str,
    rows: Bools,
    labels: Ints,
    candidate: Ints,
    champion: Ints | None,
    version: str,
    confidence: float,
) -> RegressionSet:
    samples, truth, ours = int(rows.sum()), labels[rows], candidate[rows]
    theirs = None if champion is None else champion[rows]
    return RegressionSet(
        name=name,
        samples=samples,
        accuracy=wilson(int((ours == truth).sum()), samples, confidence),
        champion_accuracy=None
        if theirs is None
        else wilson(int((theirs == truth).sum()), samples, confidence),
        comparison=None if theirs is None else compare_to_champion(ours, theirs, truth, version, confidence),
    )
