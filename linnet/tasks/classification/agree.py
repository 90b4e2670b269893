"""Two classes are the same, or they are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def agreement(first: str, second: str) -> float:
    """1 or 0."""
    return float(first == second)


def consensus(labels: Sequence[str]) -> str | None:
    """The one that most people gave; None where two are as frequent."""
    votes = Counter(labels).most_common(2)
    return votes[0][0] if len(votes) == 1 or votes[0][1] > votes[1][1] else None
