"""Two sets of classes overlap by the classes that both hold, over those that either holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from linnet.tasks.multilabel.target import TARGET


@lru_cache(65_536)
def agreement(first: str, second: str) -> float:
    """The Jaccard index of two labels' classes; 1 where neither holds any.

    Jaccard (1912). Its mean over samples is the accuracy of Godbole & Sarawagi, "Discriminative Methods for
    Multi-labeled Classification" (PAKDD 2004).
    """
    one, other = set(TARGET.classes(first)), set(TARGET.classes(second))
    return len(one & other) / len(one | other) if one | other else 1.0


def consensus(labels: Sequence[str]) -> str | None:
    """The classes that more than half of the people gave; None where half of them gave a class."""
    votes = Counter(name for label in labels for name in TARGET.classes(label))
    if any(2 * count == len(labels) for count in votes.values()):
        return None
    return TARGET.label([name for name, count in votes.items() if 2 * count > len(labels)])
