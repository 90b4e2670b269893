"""Two sets of classes overlap by the classes that both hold, over those that either holds."""

from __future__ import annotations

from linnet.tasks.multilabel.target import TARGET


def agreement(first: str, second: str) -> float:
    """The Jaccard index of two labels' classes; 1 where neither holds any.

    Jaccard (1912). Its mean over samples is the accuracy of Godbole & Sarawagi, "Discriminative Methods for
    Multi-labeled Classification" (PAKDD 2004).
    """
    if first == second:
        return 1.0
    one, other = set(TARGET.classes(first)), set(TARGET.classes(second))
    return len(one & other) / len(one | other)
