"""What production taught, asked again: candidate and champion on the test share of each window. Pure."""

from __future__ import annotations

import numpy as np

from linnet.evaluation.compare import compare_to_champion
from linnet.records import RegressionSet
from linnet.statistics.intervals import wilson
from linnet.statistics.metrics import Bools, Floats

ALL = "all windows"
Strings = np.ndarray[tuple[int], np.dtype[np.str_]]


def regression_sets(
    windows: Strings,
    candidate: Floats,
    champion: Floats | None,
    alike: Floats,
    version: str,
    confidence: float,
) -> tuple[RegressionSet, ...]:
    """A set a window, by name, and of several one of all their samples.

    Args:
        windows: the window of each of N samples.
        candidate: its scores [N].
        champion: the same of the champion; None: there is none.
        alike: how far both agree on each sample [N]; nothing is read of it without a champion.
        version: the champion's.
        confidence: level of each interval.
    """
    names = sorted(set(windows.tolist()))
    chosen = {name: windows == name for name in names}
    if len(names) > 1:
        chosen[ALL] = np.ones(len(windows), bool)
    return tuple(
        _one(name, rows, candidate, champion, alike, version, confidence) for name, rows in chosen.items()
    )


def _one(
    name: str,
    rows: Bools,
    candidate: Floats,
    champion: Floats | None,
    alike: Floats,
    version: str,
    confidence: float,
) -> RegressionSet:
    samples, ours = int(rows.sum()), candidate[rows]
    found = RegressionSet(
        name=name,
        samples=samples,
        accuracy=wilson(float(ours.sum()), samples, confidence),
        champion_accuracy=None,
        comparison=None,
    )
    if champion is None:
        return found
    theirs = champion[rows]
    return found.model_copy(
        update={
            "champion_accuracy": wilson(float(theirs.sum()), samples, confidence),
            "comparison": compare_to_champion(ours, theirs, float(alike[rows].mean()), version, confidence),
        }
    )
