"""The bootstrap over samples: whole images are drawn, with all that is in them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from linnet.statistics.metrics import Floats

_CHUNK = 4_000_000
"""Weights held at a time."""


def sample_weights(samples: int, resamples: int, rng: np.random.Generator) -> Iterator[Floats]:
    """Weights [R, N] of the Bayesian bootstrap over samples: Rubin, Annals of Statistics 9 (1981)."""
    step = max(1, _CHUNK // max(samples, 1))
    for start in range(0, resamples, step):
        drawn = rng.exponential(size=(min(step, resamples - start), samples))
        yield drawn / drawn.mean(axis=1, keepdims=True)
