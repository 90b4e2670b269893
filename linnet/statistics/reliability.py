"""Calibration: the bins of a reliability diagram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linnet.statistics.metrics import equal_mass_bins


@dataclass(frozen=True)
class ReliabilityBin:
    """One bin: how sure a model was on average, how often it was right, over how many statements."""

    confidence: float
    accuracy: float
    samples: int


def reliability(
    claimed: npt.NDArray[np.floating], happened: npt.NDArray[np.generic], bins: int
) -> tuple[ReliabilityBin, ...]:
    """Equal-mass bins in order of confidence; bins that ties left empty are dropped.

    Args:
        claimed: the probability of each statement, [N].
        happened: whether it is so, [N], 0 or 1.
        bins: at most so many.
    """
    which = equal_mass_bins(claimed.astype(np.float64), bins)
    counts = np.bincount(which, minlength=bins)
    sure = np.bincount(which, claimed, minlength=bins)
    right = np.bincount(which, happened, minlength=bins)
    return tuple(
        ReliabilityBin(float(s / n), float(r / n), int(n))
        for s, r, n in zip(sure, right, counts, strict=True)
        if n
    )
