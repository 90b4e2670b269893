"""What became of the runs that the policy asked for: a narrow protocol, and the runs' own records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from linnet.errors import RunError, StorageError
from linnet.records import now
from linnet.run import runs

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
    """Knows which runs there are, and how they went."""

    def find(self, key: str) -> str | None:
        """The run that was submitted with `key`, if there is one: asked after a kill.

        Raises:
            RunError: nobody can say at the moment.
        """

    def end(self, run_id: str) -> RunEnd | None:
        """How the run ended; None: it has not, or cannot be asked at the moment."""


class RecordedRuns:
    """The runs of this state folder, as their records tell."""

    def find(self, key: str) -> str | None:
        """See TrainingRuns."""
        known = runs.readable(runs.recorded)
        return next(
            (folder.name for folder, record in known if record.request.evidence.get("key") == key), None
        )

    def end(self, run_id: str) -> RunEnd | None:
        """See TrainingRuns."""
        try:
            folder = runs.find(run_id)
        except RunError:
            return RunEnd("interrupted", now(), reason="its record is gone")
        try:
            record = runs.load(folder)
        except StorageError as error:
            return None if runs.alive(folder) else RunEnd("interrupted", now(), reason=str(error))
        if record.state == "running":
            return None
        state: EndState = record.state
        version = next((str(s.values.get("version", "")) for s in record.stages if s.task == "register"), "")
        return RunEnd(
            state,
            record.ended_at or now(),
            version if state == "succeeded" else "",
            cost=record.cost.cost if record.cost is not None else None,
            reason=record.error,
        )
