"""Accuracy per cohort, so that an aggregate cannot hide a group that fares badly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from linnet.records import CohortResult
from linnet.statistics.intervals import simultaneous, wilson
from linnet.tasks.score import Floats

Strings = npt.NDArray[np.str_]


def cohort_table(
    scores: Floats, recalls: Sequence[CohortResult], cohorts: Mapping[str, Strings], confidence: float
) -> tuple[CohortResult, ...]:
    """Accuracy of every cohort with its Wilson interval, the worst first.

    Args:
        scores: of N samples.
        recalls: the recall of each class, as cohorts of the column `class`.
        cohorts: a value a sample, [N] each, by column.
        confidence: level of each single interval (see `stands_out` for all of them together).

    Worst first means by upper bound: what is surely bad comes before what is bad in three samples.
    """
    results = [
        *recalls,
        *(result for name, values in cohorts.items() for result in _rows(scores, name, values, confidence)),
    ]
    return tuple(
        sorted(results, key=lambda row: (row.accuracy.high, row.accuracy.value, row.cohort, row.value))
    )


def _rows(scores: Floats, name: str, values: Strings, confidence: float) -> list[CohortResult]:
    if values.shape != scores.shape:
        raise ValueError(f"cohort {name} has {values.shape} values for {len(scores)} samples")
    found, which = np.unique(values, return_inverse=True)
    sizes = np.bincount(which, minlength=len(found))
    right = np.bincount(which, scores, minlength=len(found))
    return [
        CohortResult(cohort=name, value=str(v), samples=int(n), accuracy=wilson(float(r), int(n), confidence))
        for v, n, r in zip(found, sizes, right, strict=True)
    ]


def stands_out(row: CohortResult, rows: int, overall: float, confidence: float) -> bool:
    """Whether a cohort lies below the overall accuracy even with its interval widened for all `rows`.

    Out of many 95 % intervals some miss by chance; with Sidak's level all hold together as often as
    one alone.
    """
    right = min(row.accuracy.value * row.samples, row.samples)
    return wilson(right, row.samples, simultaneous(confidence, rows)).high < overall


def comparison_note(rows: int, confidence: float) -> str:
    """What a reader of `rows` intervals must bear in mind, in a sentence or two."""
    missed = rows * (1.0 - confidence)
    return (
        f"{rows} intervals at {confidence:.0%} each: about {missed:.1f} of them miss the truth by "
        "chance alone. Cohorts marked as below average stay so after the intervals are widened to hold "
        "all together."
    )
