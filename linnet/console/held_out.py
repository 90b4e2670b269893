"""What a run's evaluation left sample by sample: mistakes with their images, and calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from linnet.artifacts.training_set import HeldOut, read_split
from linnet.evaluation.calibration import ReliabilityBin, reliability
from linnet.records import TrainingSetManifest
from linnet.run import runs
from linnet.statistics.metrics import Predictions
from linnet.tasks.classification.score import softmax
from linnet.tasks.target import target_of

BINS = 15


@dataclass(frozen=True)
class Judged:
    """The test split with what the model said of it; `order` sorts mistakes, the surest first."""

    split: HeldOut
    predictions: Predictions
    order: npt.NDArray[np.int64]


def training_set_of(folder: Path) -> Path | None:
    """The training set of the run in `folder`."""
    return runs.artifact(folder, "build-features", "training_set")


def judged(folder: Path) -> Judged | None:
    """The predictions of a run on its test split; None where it did not come so far.

    None also where an image may have several classes: the run's report shows its worst answers.
    """
    report, training_set = runs.artifact(folder, "evaluate", "report"), training_set_of(folder)
    if report is None or training_set is None or not (report / "predictions.npz").exists():
        return None
    about = TrainingSetManifest.load(training_set / "training_set.json")
    if target_of(about.task).several:
        return None
    return _judged(report.resolve(), training_set.resolve())


@lru_cache(maxsize=8)
def _judged(report: Path, training_set: Path) -> Judged:
    split = read_split(training_set, "test")
    with np.load(report / "predictions.npz") as stored:
        predictions = Predictions(stored["labels"], stored["probabilities"].astype(np.float64))
    wrong = np.flatnonzero(predictions.predicted != predictions.labels)
    order = wrong[np.argsort(-predictions.confidence[wrong], kind="stable")].astype(np.int64)
    return Judged(split, predictions, order)


def calibration(
    found: Judged, temperature: float
) -> tuple[Sequence[ReliabilityBin], Sequence[ReliabilityBin]]:
    """Reliability bins before and after temperature scaling; what was before follows from the temperature."""
    bins = min(BINS, max(2, len(found.predictions.labels) // 10))
    with np.errstate(divide="ignore"):
        logits = np.log(np.maximum(found.predictions.probabilities, 1e-12)) * temperature
    before = Predictions(found.predictions.labels, softmax(logits))
    return reliability(before, bins), reliability(found.predictions, bins)
