"""What the engine's parts print when they cannot do their work: once, though they try every few seconds."""

from __future__ import annotations


class ToldOnce:
    """Prints each problem once in the life of the process."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def __call__(self, problem: str) -> None:
        """Prints it, unless that was done."""
        if problem not in self._told:
            self._told.add(problem)
            print(problem, flush=True)
