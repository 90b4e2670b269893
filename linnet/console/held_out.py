"""What a run's evaluation left sample by sample: mistakes with their images, and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.artifacts.training_set import HeldOut, read_split
from linnet.records import EvaluationReport
from linnet.run import runs
from linnet.statistics.reliability import ReliabilityBin
from linnet.tasks.answer import answer_of
from linnet.tasks.score import score_of
from linnet.tasks.target import target_of

BINS = 15


@dataclass(frozen=True)
class Judged:
    """The test split with what the model said of it, N samples."""

    split: HeldOut
    results: Any
    """`tasks.score.Results` of the calibrated output."""
    said: tuple[str, ...]
    """The label that is answered: [N]."""
    truth: tuple[str, ...]
    confidence: npt.NDArray[np.float32]
    """[N]"""
    order: npt.NDArray[np.int64]
    """The samples that are not wholly right: the worst first, of equal ones the surest."""
    telling: npt.NDArray[np.int64]
    """The class that speaks for the mistake: one that is named and not there, or else one that is missed;
    the likeliest of those: [N]."""


def training_set_of(folder: Path) -> Path | None:
    """The training set of the run in `folder`."""
    return runs.artifact(folder, "build-features", "training_set")


def judged(folder: Path) -> Judged | None:
    """The predictions of a run on its test split; None where it did not come so far."""
    report, training_set = runs.artifact(folder, "evaluate", "report"), training_set_of(folder)
    if report is None or training_set is None or not (report / "predictions.npz").exists():
        return None
    return _judged(report.resolve(), training_set.resolve())


@lru_cache(maxsize=8)
def _judged(report: Path, training_set: Path) -> Judged:
    split = read_split(training_set, "test")
    thresholds = EvaluationReport.load(report / "evaluation.json").thresholds
    answer = answer_of(split.task, split.classes, thresholds)
    with np.load(report / "predictions.npz") as stored:
        labels, output = stored["labels"], stored[answer.output_name]
    split = split.part(0, len(labels))  # images of production windows come after the dataset's own
    target = target_of(split.task)
    results = score_of(split.task).described(labels, output.astype(np.float64), thresholds)
    confidence = answer.confidence(output)
    order = np.lexsort((-confidence, results.scores)).astype(np.int64)
    named, there = answer.named(output), target.matrix(labels, len(split.classes))
    wrong = named & ~there
    wrong = np.where(wrong.any(axis=1, keepdims=True), wrong, there & ~named)
    return Judged(
        split,
        results,
        tuple(answer.labels(output)),
        tuple(split.truth),
        confidence,
        order[results.scores[order] < 1],
        np.where(wrong, answer.by_class(output), -1.0).argmax(axis=1),
    )


def calibration(
    found: Judged, temperature: float
) -> tuple[Sequence[ReliabilityBin], Sequence[ReliabilityBin]]:
    """Reliability bins before and after temperature scaling; what was before follows from the temperature."""
    score, bins = score_of(found.split.task), min(BINS, max(2, found.results.samples // 10))
    before = score.uncalibrated(found.results, temperature)
    return score.reliability(before, bins), score.reliability(found.results, bins)
