"""Image statistics: the ONE function that training, Feast and the server compute features with.

Every sum is a sum of integers, which is exact in any order; what follows is a fixed sequence of
IEEE operations a row. So a batch of one and a batch of 70,000 give the same bits, and a skew audit
may demand equality instead of closeness.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

FEATURES: tuple[str, ...] = (
    "brightness",
    "contrast",
    "p10",
    "p50",
    "p90",
    "entropy",
    "ink",
    "edge_horizontal",
    "edge_vertical",
    "center_horizontal",
    "center_vertical",
    "asymmetry",
)
"""Names of the statistics, in the order of the columns. None may end in `_y`: Feast's join drops such."""

_INK = 32
"""Luma from which a pixel counts as not dark; garments stand on black in Fashion-MNIST."""
_BATCH_PIXELS = 1 << 18
"""Pixels a batch: bounds the scratch memory at any image size, and stays in the cache (half the time)."""


def image_statistics(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Statistics of uint8 images [N, H, W, C] (C = 1 or 3): float32 [N, len(FEATURES)].

    Columns (all in [0, 1] but entropy, in bits, 0 to 8): mean and standard deviation of luma; its
    10th, 50th and 90th percentile (lower); Shannon entropy of its histogram; share of pixels with
    luma of at least 32; mean absolute difference of horizontal and of vertical neighbors; center
    of mass of luma (0.5 for a black image); mean absolute difference from the mirror image.
    """
    if images.ndim != 4 or images.shape[3] not in (1, 3) or images.dtype != np.uint8:
        raise ValueError(f"images must be uint8 [N, H, W, 1 or 3], not {images.dtype} {images.shape}")
    batch = max(1, _BATCH_PIXELS // max(1, images.shape[1] * images.shape[2]))
    parts = [_statistics(images[i : i + batch]) for i in range(0, len(images), batch)]
    return np.concatenate(parts) if parts else np.zeros((0, len(FEATURES)), np.float32)


def _statistics(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    luma = _luma(images)
    count, height, width = luma.shape
    area = height * width
    flat = luma.reshape(count, area)
    histogram = np.bincount(
        (np.arange(count, dtype=np.int64)[:, None] * 256 + flat).ravel(), minlength=count * 256
    ).reshape(count, 256)
    total = flat.sum(axis=1)
    squares = (flat * flat).sum(axis=1)
    cumulative = histogram.cumsum(axis=1)
    columns = luma.sum(axis=1)
    rows = luma.sum(axis=2)
    mass = np.maximum(total, 1)
    dark = total == 0

    def percentile(percent: int) -> npt.NDArray[np.float64]:
        rank = -(-area * percent // 100)
        below: npt.NDArray[np.float64] = (cumulative < rank).sum(axis=1) / 255.0
        return below

    def center(profile: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        length = profile.shape[1]
        moment = (profile * (2 * np.arange(length, dtype=np.int64) + 1)).sum(axis=1)
        return np.where(dark, 0.5, moment / (mass * (2 * length)))

    def difference(a: npt.NDArray[np.int64], b: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        pairs = max(a.shape[1] * a.shape[2], 1)
        gap: npt.NDArray[np.float64] = np.abs(a - b).sum(axis=(1, 2)) / (pairs * 255.0)
        return gap

    result = np.empty((count, len(FEATURES)), np.float64)
    result[:, 0] = total / (area * 255.0)
    result[:, 1] = np.sqrt((area * squares - total * total).astype(np.float64)) / (area * 255.0)
    result[:, 2], result[:, 3], result[:, 4] = percentile(10), percentile(50), percentile(90)
    result[:, 5] = _entropy(histogram, area)
    result[:, 6] = histogram[:, _INK:].sum(axis=1) / area
    result[:, 7] = difference(luma[:, :, 1:], luma[:, :, :-1])
    result[:, 8] = difference(luma[:, 1:, :], luma[:, :-1, :])
    result[:, 9], result[:, 10] = center(columns), center(rows)
    result[:, 11] = difference(luma, luma[:, :, ::-1])
    return result.astype(np.float32)


def _luma(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """Luma by ITU-R BT.601 in integers, 0 to 255."""
    wide = images.astype(np.int64)
    if images.shape[3] == 1:
        return wide[:, :, :, 0]
    luma: npt.NDArray[np.int64] = (wide @ np.array([299, 587, 114], np.int64) + 500) // 1000
    return luma


_SCALE = 1 << 32


def _entropy(histogram: npt.NDArray[np.int64], area: int) -> npt.NDArray[np.float64]:
    """Entropy in bits: log2(area) - sum(c log2 c) / area, with c log2 c in 32-bit fixed point."""
    table = _fixed_point_table(area)
    weighted: npt.NDArray[np.int64] = table[histogram].sum(axis=1)
    bits: npt.NDArray[np.float64] = (table[area] - weighted) / (area * float(_SCALE))
    return np.maximum(bits, 0.0)


@cache
def _fixed_point_table(area: int) -> npt.NDArray[np.int64]:
    counts = np.arange(area + 1, dtype=np.float64)
    logs = np.log2(np.maximum(counts, 1.0))
    return np.rint(counts * logs * _SCALE).astype(np.int64)


def brightness_edges(brightness: npt.NDArray[np.floating]) -> tuple[float, float]:
    """The tertiles that part dark, medium and bright, of the brightness of training images [N]."""
    low, high = np.quantile(brightness, [1 / 3, 2 / 3])
    return float(low), float(high)


def brightness_cohort(
    brightness: npt.NDArray[np.floating], edges: tuple[float, float]
) -> npt.NDArray[np.str_]:
    """dark, medium or bright, unicode [N]."""
    return np.select([brightness <= edges[0], brightness <= edges[1]], ["dark", "medium"], "bright")
