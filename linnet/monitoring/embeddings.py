"""Whether embeddings of a window come from the reference's distribution, and which are strangest."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Embeddings = npt.NDArray[np.floating[Any]]

_BANDWIDTH_ROWS = 500


@dataclass(frozen=True, slots=True)
class EmbeddingDrift:
    """Embeddings of a window against the reference's."""

    rows: int
    statistic: float
    """Studentized cross-MMD; standard normal if nothing moved."""
    p_value: float
    auc: float
    """How well the window is told from the reference by the kernel's witness, fitted on the other half:
    0.5 not at all, 1 without a mistake."""
    strangeness: Floats
    """[rows] Of every row: how much likelier it is under the window than under the reference."""


def compare_embeddings(reference: Embeddings, window: Embeddings, seed: int = 0) -> EmbeddingDrift:
    """Cross-MMD test of embeddings [M, D] of the reference and [N, D] of a window (at least 20 each).

    Shekhar, Kim & Ramdas, "A permutation-free kernel two-sample test" (NeurIPS 2022): each sample is
    split in half, the mean difference of one half is tested along that of the other, and the studentized
    statistic is normal under the null. So p-values need no permutations and have no floor, which
    control over many windows needs. Gaussian kernel; its bandwidth is the median distance within the
    reference (Gretton et al., JMLR 13, 2012). Columns are scaled by the reference.

    Raises:
        ValueError: the samples are too small, or their columns differ in number.
    """
    if min(len(reference), len(window)) < 20 or reference.shape[1] != window.shape[1]:
        raise ValueError(
            f"embeddings [M, D] and [N, D] with at least 20 rows are needed, not {reference.shape} "
            f"and {window.shape}"
        )
    x, y = _scaled(reference, window)
    rng = np.random.default_rng(seed)
    x, order = x[rng.permutation(len(x))], rng.permutation(len(y))
    y = y[order]
    half_x, half_y = len(x) // 2, len(y) // 2
    scale = _bandwidth(x)
    first = _witness(x[:half_x], y[:half_y], scale)
    second = _witness(x[half_x:], y[half_y:], scale)
    on_x, on_y = second(x[:half_x]), second(y[:half_y])
    error = np.sqrt(on_x.var(ddof=1) / len(on_x) + on_y.var(ddof=1) / len(on_y))
    statistic = float((on_y.mean() - on_x.mean()) / max(error, 1e-300))
    unseen_x, unseen_y = first(x[half_x:]), first(y[half_y:])
    auc = (_auc(on_x, on_y) + _auc(unseen_x, unseen_y)) / 2.0
    strangeness = np.empty(len(y))
    strangeness[order] = np.concatenate([on_y, unseen_y])
    return EmbeddingDrift(len(y), statistic, NormalDist().cdf(-statistic), auc, strangeness)


def _scaled(reference: Embeddings, window: Embeddings) -> tuple[Floats, Floats]:
    x, y = reference.astype(np.float64), window.astype(np.float64)
    deviation = x.std(axis=0)
    moves = deviation > 1e-9 * max(float(deviation.max()), 1e-300)
    # A column that is constant in the reference says nothing there, but may speak in the window.
    scale = np.where(moves, deviation, max(float(deviation.max()), 1.0))
    return (x - x.mean(axis=0)) / scale, (y - x.mean(axis=0)) / scale


def _bandwidth(x: Floats) -> float:
    """Median squared distance of up to 500 rows."""
    some = x[:_BANDWIDTH_ROWS]
    distances = _squared_distances(some, some)[np.triu_indices(len(some), 1)]
    return float(np.median(distances)) or 1.0


def _squared_distances(a: Floats, b: Floats) -> Floats:
    squares: Floats = (a * a).sum(axis=1)[:, None] + (b * b).sum(axis=1)[None] - 2.0 * (a @ b.T)
    return np.maximum(squares, 0.0)


def _witness(x: Floats, y: Floats, scale: float) -> Any:
    """The function that is high where the window `y` is denser than the reference `x`."""

    def value(at: Floats) -> Floats:
        near_y = np.exp(-_squared_distances(at, y) / scale).mean(axis=1)
        near_x = np.exp(-_squared_distances(at, x) / scale).mean(axis=1)
        difference: Floats = near_y - near_x
        return difference

    return value


def _auc(low: Floats, high: Floats) -> float:
    """Probability that a value of `high` is above one of `low`, ties half (Mann-Whitney)."""
    ranked = np.sort(low)
    below, upto = np.searchsorted(ranked, high, "left"), np.searchsorted(ranked, high, "right")
    return float((below + upto).mean() / (2.0 * len(low)))
