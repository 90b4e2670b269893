"""How long work says how far it is: one signature, from every step to whoever shows it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is of it."""


def silent(what: str, done: int, total: int) -> None:
    """Says nothing."""
