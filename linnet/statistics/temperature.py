"""The temperature that calibrates logits of things that are so or not, each by itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.statistics.metrics import Floats

_LOWEST, _HIGHEST = 0.05, 20.0
"""Bounds of the temperature."""


def sigmoid(logits: npt.NDArray[np.floating[Any]]) -> Floats:
    """Probabilities of logits of any shape."""
    with np.errstate(over="ignore"):
        probabilities: Floats = 1.0 / (1.0 + np.exp(-logits.astype(np.float64)))
    return probabilities


def binary_temperature(logits: npt.NDArray[np.floating[Any]], targets: npt.NDArray[Any]) -> float:
    """The temperature that minimizes the binary cross-entropy of `targets` under logits of the same shape.

    With one observation's worth of a log-normal prior around 1, so that no mistake in validation does not
    ask for temperature 0. Returns 1 for no samples, NaN for logits that are not finite.
    """
    if not len(targets):
        return 1.0
    values, wanted = logits.astype(np.float64), targets.astype(np.float64)
    if not np.isfinite(values).all():
        return float("nan")

    def slope(log_beta: float) -> float:
        beta = float(np.exp(log_beta))
        return beta * float(((sigmoid(values * beta) - wanted) * values).mean()) + log_beta / wanted.size

    low, high = -np.log(_HIGHEST), -np.log(_LOWEST)
    for _ in range(40):  # bisection: the loss is convex in the inverse temperature
        middle = (low + high) / 2.0
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return float(np.exp(-(low + high) / 2.0))
