"""Where the policy's runs go: a narrow protocol, and runs in memory for tests and rehearsals."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol

from linnet.errors import RunError
from linnet.records import RunRequest

EndState = Literal["succeeded", "failed", "rejected", "interrupted"]


@dataclass(frozen=True, slots=True)
class RunEnd:
    """How a run ended."""

    state: EndState
    at: datetime
    version: str = ""
    """The version that it made champion; empty if none."""
    cost: float | None = None
    """In the config's currency; None: unknown."""
    reason: str = ""


class TrainingRuns(Protocol):
    """Submits training runs and knows how they went."""

    def submit(self, key: str, request: RunRequest) -> str:
        """Submits one run, marked with `key` and with its cause; returns its id.

        Raises:
            RunError: it cannot be submitted.
        """

    def find(self, key: str) -> str | None:
        """The run that was submitted with `key`, if there is one: asked after a kill.

        Raises:
            RunError: nobody can say at the moment.
        """

    def end(self, run_id: str) -> RunEnd | None:
        """How the run ended; None: it has not, or cannot be asked at the moment."""


@dataclass
class RunsInMemory:
    """Runs that somebody else ends, by `finish`."""

    submitted: dict[str, RunRequest] = field(default_factory=dict)
    """By key; a run's id is `run-KEY`."""
    ends: dict[str, RunEnd] = field(default_factory=dict)
    refuses: str = ""
    """Why no run can be submitted; empty: they can."""

    def submit(self, key: str, request: RunRequest) -> str:
        """See TrainingRuns."""
        if self.refuses:
            raise RunError(self.refuses)
        self.submitted[key] = request
        return f"run-{key}"

    def find(self, key: str) -> str | None:
        """See TrainingRuns."""
        return f"run-{key}" if key in self.submitted else None

    def end(self, run_id: str) -> RunEnd | None:
        """See TrainingRuns."""
        return self.ends.get(run_id)

    def finish(self, end: RunEnd) -> None:
        """Ends every run that is under way."""
        for key in self.submitted:
            self.ends.setdefault(f"run-{key}", end)
