"""How many bytes of requests and answers all workers together may hold: one budget, exact to a read.

What is counted: bodies from their first byte until they are answered, and answers that clients do not
take. Beyond the budget a body gets 503; the last quarter is kept for small ones, so that a few senders of
large bodies do not keep the others out.
"""

from __future__ import annotations

from collections.abc import Callable

from linnet.serving.shared import Tally

SMALL = 65_536
"""A body of up to this many bytes may use the whole budget; a larger one three quarters."""


class Budget:
    """One worker's side of it."""

    def __init__(self, mine: Tally, everyone: Callable[[], int], limit: int) -> None:
        """`mine`: what this worker holds; `everyone`: what all do; `limit` in bytes."""
        self._mine, self._everyone, self.limit = mine, everyone, limit

    def room(self, count: int, size: int) -> bool:
        """Whether `count` bytes more of a body of `size` bytes so far may be held."""
        limit = self.limit if size <= SMALL else self.limit * 3 // 4
        return self._everyone() + count <= limit

    def take(self, count: int, size: int) -> bool:
        """Holds `count` bytes more of a body if there is room."""
        if not self.room(count, size):
            return False
        self._mine.add(count)
        return True

    def hold(self, count: int) -> None:
        """Holds what is there already, such as an answer."""
        self._mine.add(count)

    def give(self, count: int) -> None:
        """Gives back what was held."""
        self._mine.add(-count)
