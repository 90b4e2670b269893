"""Maps of classes for tests: blobs that the answers move a little."""

from __future__ import annotations

import numpy as np

CLASSES = ("bag", "shoe", "top")


def maps(count: int, side: int = 24, seed: int = 0, classes: int = 3) -> np.ndarray:
    """uint8 [N, side, side]: up to three rectangles each, of random classes."""
    rng = np.random.default_rng(seed)
    found = np.zeros((count, side, side), np.uint8)
    for one in found:
        for _ in range(int(rng.integers(0, 4))):
            y, x = rng.integers(0, side - 6, 2)
            height, width = rng.integers(3, side // 2, 2)
            one[y : y + height, x : x + width] = rng.integers(1, classes + 1)
    return found


def output(named: np.ndarray, seed: int = 0) -> np.ndarray:
    """float32 [N, 2, H, W] of named classes, with probabilities of which each class has its own level."""
    sure = 0.6 + 0.1 * np.random.default_rng(seed).random((int(named.max(initial=0)) + 1,))
    return np.stack([named.astype(np.float32), sure[named].astype(np.float32)], axis=1)
