"""Two classes are the same, or they are not."""

from __future__ import annotations


def agreement(first: str, second: str) -> float:
    """1 or 0."""
    return float(first == second)
