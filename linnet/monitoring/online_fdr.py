"""Control of false discoveries: over the quantities of one window, and over windows without end.

Within a window Benjamini and Hochberg at the window's level name what moved; over windows LORD++ gives
each its level. A window's Simes p-value is at most its level exactly if Benjamini and Hochberg reject
something at that level, so the two fit together (compare batch testing: Zrnic et al., AISTATS 2020).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def adjusted(p_values: Sequence[float]) -> Floats:
    """p-values after Benjamini & Hochberg (JRSS B 57, 1995): at most q where the FDR is held at q."""
    from scipy.stats import false_discovery_control

    if not len(p_values):
        return np.zeros(0)
    result: Floats = false_discovery_control(np.asarray(p_values, np.float64), method="bh")
    return result


def simes(p_values: Sequence[float]) -> float:
    """p-value that nothing at all moved (Simes, Biometrika 73, 1986): the smallest adjusted p-value."""
    return float(adjusted(p_values).min()) if len(p_values) else 1.0


def next_level(p_values: Sequence[float], alpha: float) -> float:
    """The level that LORD++ gives the window after those with these p-values, oldest first.

    Holds the false discovery rate at `alpha` at every moment for independent p-values: Ramdas et al.,
    "Online control of the false discovery rate with decaying memory" (NeurIPS 2017), with the sequence
    that Javanmard & Montanari (Annals of Statistics 46, 2018) propose. Levels fall while nothing is
    found, and each discovery earns new ones.
    """
    wealth = alpha / 2.0
    weights = _weights(len(p_values) + 1)
    found: list[int] = []
    level = 0.0
    for moment in range(1, len(p_values) + 2):
        level = wealth * weights[moment - 1]
        for number, earlier in enumerate(found):
            level += (alpha - wealth if number == 0 else alpha) * weights[moment - earlier - 1]
        if moment <= len(p_values) and p_values[moment - 1] <= level:
            found.append(moment)
    return float(level)


def _weights(count: int) -> Floats:
    """gamma_t proportional to log(max(t, 2)) / (t exp(sqrt(log t))), which sums to at most 1."""
    t = np.arange(1, count + 1, dtype=np.float64)
    weights: Floats = 0.07720838 * np.log(np.maximum(t, 2.0)) / (t * np.exp(np.sqrt(np.log(t))))
    return weights
