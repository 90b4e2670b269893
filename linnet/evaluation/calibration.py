"""Calibration: the bins of a reliability diagram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from linnet.statistics.metrics import Predictions, equal_mass_bins


@dataclass(frozen=True)
class ReliabilityBin:
    """One bin: how sure the model was on average, how often it was right, over how many samples."""

    confidence: float
    accuracy: float
    samples: int


def reliability(predictions: Predictions, bins: int) -> tuple[ReliabilityBin, ...]:
    """Equal-mass bins in order of confidence; bins that ties left empty are dropped."""
    which = equal_mass_bins(predictions.confidence, bins)
    counts = np.bincount(which, minlength=bins)
    sure = np.bincount(which, predictions.confidence, minlength=bins)
    right = np.bincount(which, predictions.correct, minlength=bins)
    return tuple(
        ReliabilityBin(float(s / n), float(r / n), int(n))
        for s, r, n in zip(sure, right, counts, strict=True)
        if n
    )
