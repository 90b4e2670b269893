"""Calibration: temperature scaling, and the bins of a reliability diagram."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linnet.statistics.metrics import Floats, Ints, Predictions, equal_mass_bins

_LOWEST, _HIGHEST = 0.05, 20.0
"""Bounds of the temperature; beyond them a network is broken, not merely over- or underconfident."""
_PRIOR_SPREAD = 1.0
"""Spread of log temperature in the weak prior that keeps the fit finite without validation errors."""


def softmax(logits: npt.NDArray[np.floating], temperature: float = 1.0) -> Floats:
    """Probabilities float64 [N, K] of logits [N, K] divided by a temperature."""
    scaled = logits.astype(np.float64) / temperature
    exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: Floats = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probabilities


def fit_temperature(logits: npt.NDArray[np.floating], labels: Ints) -> float:
    """The temperature that minimises the negative log-likelihood of `labels` [N] under logits [N, K].

    Guo et al., "On Calibration of Modern Neural Networks" (2017), arXiv 1706.04599. One observation's
    worth of a log-normal prior around 1 is added: without a single error in validation the likelihood
    alone would ask for temperature 0. Returns 1 for no samples, NaN for logits that are not finite.
    """
    if not len(labels):
        return 1.0
    values = logits.astype(np.float64)
    if not np.isfinite(values).all():
        return float("nan")
    own = values[np.arange(len(labels)), labels]

    def slope(log_beta: float) -> float:
        """Derivative of the mean loss in the logarithm of the inverse temperature."""
        beta = float(np.exp(log_beta))
        expected = (softmax(values, 1.0 / beta) * values).sum(axis=1)
        return beta * float((expected - own).mean()) + log_beta / (_PRIOR_SPREAD**2 * len(labels))

    low, high = -np.log(_HIGHEST), -np.log(_LOWEST)
    for _ in range(40):  # bisection to 1e-11: the loss is convex in the inverse temperature
        middle = (low + high) / 2.0
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float(np.exp(-(low + high) / 2.0))


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
