"""Training runs in memory, for tests of what asks for them."""

from __future__ import annotations

from dataclasses import dataclass, field

from linnet.errors import RunError
from linnet.records import RunRequest
from linnet.retraining.ledger import AskedRun
from linnet.retraining.runs import RunEnd


@dataclass
class RunsInMemory:
    """Runs that somebody else ends, by `finish`."""

    submitted: dict[str, RunRequest] = field(default_factory=dict)
    """By key; a run's id is `run-KEY`."""
    ends: dict[str, RunEnd] = field(default_factory=dict)
    refuses: str = ""
    """Why no run can be submitted; empty: they can."""

    def submit(self, asked: AskedRun) -> str:
        """See linnet.retraining.submission.Submit."""
        if self.refuses:
            raise RunError(self.refuses)
        assert asked.asked.request is not None
        self.submitted[asked.key] = asked.asked.request
        return f"run-{asked.key}"

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
