"""Accuracy per cohort, so that an aggregate cannot hide a group that fares badly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from linnet.records import CohortResult
from linnet.statistics.intervals import simultaneous, wilson
from linnet.statistics.metrics import Predictions

Strings = npt.NDArray[np.str_]
CLASS = "class"
"""Cohort column of the true class; accuracy within it is the class's recall."""


def cohort_table(
    predictions: Predictions, classes: Sequence[str], cohorts: Mapping[str, Strings], confidence: float
) -> tuple[CohortResult, ...]:
    """Accuracy of every cohort with its Wilson interval, the worst first.

    Args:
        predictions: of N samples.
        classes: K names.
        cohorts: a value a sample, [N] each, by column; the true class is added as column `class`.
        confidence: level of each single interval (see `stands_out` for all of them together).

    Worst first means by upper bound: what is surely bad comes before what is bad in three samples.
    """
    columns = {CLASS: np.asarray(classes, dtype=np.str_)[predictions.labels], **cohorts}
    results = [
        result for name, values in columns.items() for result in _rows(predictions, name, values, confidence)
    ]
    return tuple(
        sorted(results, key=lambda row: (row.accuracy.high, row.accuracy.value, row.cohort, row.value))
    )


def _rows(predictions: Predictions, name: str, values: Strings, confidence: float) -> list[CohortResult]:
    if values.shape != predictions.labels.shape:
        raise ValueError(f"cohort {name} has {values.shape} values for {predictions.samples} samples")
    found, which = np.unique(values, return_inverse=True)
    sizes = np.bincount(which, minlength=len(found))
    right = np.bincount(which, predictions.correct, minlength=len(found)).astype(np.int64)
    return [
        CohortResult(cohort=name, value=str(v), samples=int(n), accuracy=wilson(int(r), int(n), confidence))
        for v, n, r in zip(found, sizes, right, strict=True)
    ]


def stands_out(row: CohortResult, rows: int, overall: float, confidence: float) -> bool:
    """Whether a cohort lies below the overall accuracy even with its interval widened for all `rows`.

    Out of many 95 % intervals some miss by chance; with Sidak's level all hold together as often as
    one alone.
    """
    right = round(row.accuracy.value * row.samples)
    return wilson(right, row.samples, simultaneous(confidence, rows)).high < overall


def comparison_note(rows: int, confidence: float) -> str:
    """What a reader of `rows` intervals must bear in mind, in a sentence or two."""
    missed = rows * (1.0 - confidence)
    return (
        f"{rows} intervals at {confidence:.0%} each: about {missed:.1f} of them miss the truth by "
        "chance alone. Cohorts marked as below average stay so after the intervals are widened to hold "
        "all together."
    )
