"""Two segmentations overlap by the Dice coefficient: a class that either names, the mean over them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from statistics import mean

import numpy as np

from linnet.tasks.segmentation.masks import Indices, of_indices, parsed, resized

_ENOUGH = 0.5
"""Mean agreement of the people whose answers become one; below, each saw something else."""


@lru_cache(4096)
def agreement(first: str, second: str) -> float:
    """The mean Dice coefficient of the classes that either names; 1 where neither names any.

    Dice, "Measures of the Amount of Ecologic Association Between Species" (1945). Of different sizes both
    are brought to the smaller height and width.
    """
    names = sorted({*parsed(first).runs, *parsed(second).runs})
    if not names:
        return 1.0
    one, other = _alike([first, second], names)
    return mean(_dice(one == k, other == k) for k in range(1, len(names) + 1))


def consensus(labels: Sequence[str]) -> str | None:
    """Each pixel's class, where more than half of the people gave it, or else background.

    None where they agree by less than a half on average, pair by pair.
    """
    if len(labels) > 1 and mean(agreement(a, b) for a, b in combinations(labels, 2)) < _ENOUGH:
        return None
    names = sorted({name for label in labels for name in parsed(label).runs})
    maps = np.stack(_alike(labels, names))
    found = np.zeros(maps.shape[1:], np.uint8)
    for k in range(1, len(names) + 1):
        found[2 * (maps == k).sum(axis=0) > len(labels)] = k
    return of_indices(found, names).text


def _alike(labels: Sequence[str], names: Sequence[str]) -> list[Indices]:
    """The maps of several texts at one size."""
    maps = [parsed(label).indices(names) for label in labels]
    height, width = min(one.shape[0] for one in maps), min(one.shape[1] for one in maps)
    return [resized(one, height, width) for one in maps]


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    total = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / total if total else 1.0
