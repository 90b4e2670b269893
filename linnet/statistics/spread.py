"""A part of very many that stands for all: spread over them, and out of step with what recurs among them."""

from __future__ import annotations

import numpy as np

from linnet.statistics.metrics import Ints


def spread(total: int, most: int, seed: int = 0) -> Ints:
    """Places of `most` out of `total`, ascending: one by chance out of each of as many equal parts; or all.

    Every n-th would fall into step with what recurs: the columns of an image, cameras or servers by turns.
    """
    if total <= most:
        return np.arange(total)
    edges = np.arange(most + 1) * total // most
    drawn = np.random.default_rng(seed).random(most)
    places: Ints = edges[:-1] + (drawn * np.diff(edges)).astype(np.int64)
    return places
