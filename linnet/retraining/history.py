"""The runs that the policy asked for, as it judges by them: how many, when, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from linnet.config import RetrainingConfig

_DEAREST_OF = 5


@dataclass(frozen=True, slots=True)
class PastRun:
    """A run that the policy asked for."""

    asked_at: datetime
    ended: bool
    state: str = ""
    cost: float | None = None
    """None: unknown yet, or never told."""


@dataclass(frozen=True, slots=True)
class History:
    """What the ledger knows, oldest first."""

    runs: tuple[PastRun, ...] = ()
    failures: int = 0
    """Runs in a row, up to the newest that ended, that failed or were refused; a reset begins anew."""
    last_round: datetime | None = None
    """When people were last asked for labels."""

    @property
    def active(self) -> int:
        """Runs that were asked for and have not ended."""
        return sum(not run.ended for run in self.runs)

    @property
    def last(self) -> datetime | None:
        """When the newest run was asked for."""
        return self.runs[-1].asked_at if self.runs else None

    def run_cost(self, config: RetrainingConfig) -> float:
        """What one more run may cost: the most expensive of the last few that told."""
        told = [run.cost for run in self.runs if run.cost is not None]
        return max(told[-_DEAREST_OF:], default=config.run_cost)

    def spent(self, since: datetime, config: RetrainingConfig) -> float:
        """Cost of the runs asked for since then; one that has not told counts as the most expensive."""
        guess = self.run_cost(config)
        return sum(guess if run.cost is None else run.cost for run in self.runs if run.asked_at > since)

    def asked_since(self, since: datetime) -> int:
        """Runs asked for since then."""
        return sum(run.asked_at > since for run in self.runs)
