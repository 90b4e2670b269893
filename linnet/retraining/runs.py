"""What became of the runs that the policy asked for: a narrow protocol, and the runs' own records."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from linnet.errors import RunError
from linnet.records import RunRecord, now
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
        for folder in runs.folders():
            if RunRecord.load(folder / "run.json").request.evidence.get("key") == key:
                return folder.name
        return None

    def end(self, run_id: str) -> RunEnd | None:
        """See TrainingRuns."""
        try:
            record = runs.load(runs.find(run_id))
        except RunError:
            return RunEnd("interrupted", now(), reason="its record is gone")
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
