"""How a closed labelling round asks for a training run: a narrow protocol that names no engine."""

from __future__ import annotations

from typing import Protocol

from linnet.records import RunRequest

NO_RUN = "none"
"""In the place of a run's id: no run is wanted for this round."""


class RunTrigger(Protocol):
    """Whoever can start a training run."""

    def request_run(self, request: RunRequest, version: str, key: str) -> str:
        """Asks for one run that trains with the label set `version` (a `.dvc` file); the run's id.

        Idempotent by `key`: asked again, after a kill too, it names the run that there is. Empty: not now,
        and the round stays due. `NO_RUN`: none is wanted; later runs train with the labels.
        """


class MemoryTrigger:
    """Remembers what was asked for: for tests, and where nothing shall be started."""

    def __init__(self) -> None:
        self.runs: dict[str, tuple[RunRequest, str]] = {}
        self.calls = 0

    def request_run(self, request: RunRequest, version: str, key: str) -> str:
        """The key itself is the run's id."""
        self.calls += 1
        self.runs.setdefault(key, (request, version))
        return key
