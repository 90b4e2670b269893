"""Where a rollout is: its clocks, steps, marks and orders, which a restart after a kill takes up again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

from linnet.deployment.journal import Order
from linnet.records import JudgeVerdict, RolloutMark, StepDecision, now

Ending = tuple[JudgeVerdict, str]


@dataclass(slots=True)
class RolloutState:
    """All that a rollout remembers besides the evidence; `saved` is what goes to disk."""

    phase: str = "running"
    cursor: int = 0
    """The server's records were read up to here."""
    steps: list[StepDecision] = field(default_factory=list)
    marks: list[RolloutMark] = field(default_factory=list)
    began: tuple[int, int] = (0, 0)
    """Requests that champion and candidate had computed when the step began."""
    watched: float = 0.0
    """Seconds of this step that were watched, and not paused."""
    total: float = 0.0
    waited: float = 0.0
    """Seconds that a person has been waited for."""
    approved: bool = False
    orders: int = 0
    """Orders that were carried out."""
    started_at: datetime = field(default_factory=now)
    ending: Ending | None = None

    @classmethod
    def restored(cls, saved: Mapping[str, Any]) -> Self:
        """The state that `saved` described; one that waited for an approval asks for it again.

        Raises:
            KeyError, TypeError, ValueError: it cannot be read.
        """
        ending = saved["ending"]
        return cls(
            phase="running" if saved["phase"] == "waiting" else str(saved["phase"]),
            cursor=int(saved["cursor"]),
            steps=[StepDecision.model_validate(step) for step in saved["steps"]],
            marks=[RolloutMark.model_validate(mark) for mark in saved["marks"]],
            began=(int(saved["began"][0]), int(saved["began"][1])),
            watched=float(saved["watched"]),
            total=float(saved["total"]),
            waited=float(saved["waited"]),
            approved=bool(saved["approved"]),
            orders=int(saved["orders"]),
            started_at=datetime.fromisoformat(saved["started_at"]),
            ending=(ending[0], ending[1]) if ending else None,
        )

    def saved(self) -> dict[str, Any]:
        """Plain values, without the phase: what is written may already be another."""
        return {
            "started_at": self.started_at.isoformat(),
            "cursor": self.cursor,
            "began": self.began,
            "watched": self.watched,
            "total": self.total,
            "waited": self.waited,
            "approved": self.approved,
            "orders": self.orders,
            "ending": self.ending,
            "steps": [step.model_dump(mode="json") for step in self.steps],
            "marks": [mark.model_dump(mode="json") for mark in self.marks],
        }

    def advance(self, seconds: float) -> None:
        """The clocks go on; a step's deadline does not come nearer while a person is waited for."""
        self.total += seconds
        if self.phase == "running":
            self.watched += seconds
            self.waited = 0.0
        else:
            self.waited += seconds

    def begin_step(self, champion_requests: int, candidate_requests: int) -> None:
        """The clock of a step and its approval begin anew."""
        self.watched, self.approved = 0.0, False
        self.began = (champion_requests, candidate_requests)

    def apply(self, orders: Iterable[Order]) -> str | None:
        """Carries out new orders; returns why the rollout is to end, if it is."""
        for order in orders:
            self.orders += 1
            self.mark(order.command, order.by, order.reason)
            if order.command == "abort":
                return f"aborted by {order.by}" + (f": {order.reason}" if order.reason else "")
            if order.command == "approve":
                self.approved = self.phase == "waiting"
            elif order.command == "pause":
                self.phase, self.waited = "paused", 0.0
            elif self.phase == "paused":
                self.phase = "running"
        return None

    def mark(self, what: str, by: str = "", reason: str = "") -> None:
        """Notes for the plot and the record what happened now."""
        self.marks.append(RolloutMark(seconds=self.total, what=what, by=by, reason=reason))
