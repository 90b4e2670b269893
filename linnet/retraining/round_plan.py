"""What a complete labelling round does beside the policy: whose run trains with its answers. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from linnet.retraining.ledger import AskedRun
from linnet.retraining.runs import RunEnd

_TRAINED = ("succeeded", "rejected")


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """What to do now."""

    do: Literal["share", "wait", "ask-policy", "own-run"]
    """Take the policy's run as the round's; look again later; have the policy decide; ask for a run."""
    run_id: str = ""
    """The run that is shared."""


def plan_of_round(
    closed_at: datetime, by_drift: bool, runs: Sequence[AskedRun], end: Callable[[str], RunEnd | None]
) -> RoundPlan:
    """So that the answers train once: two runs of one model at a time would answer the same question.

    A run that the policy asked for after the round was closed trains with its answers. One that it asked for
    before is waited for. A round that drift opened never asks by itself: drift does, once it has labels.

    Args:
        closed_at: when the last answer came.
        by_drift: whether the policy had these questions asked.
        runs: those that the policy asked for, oldest first.
        end: how a run ended, by its id; None: it is under way.
    """
    newest = runs[-1] if runs else None
    if newest is not None:
        run_id = newest.submitted.run_id if newest.submitted else ""
        state = newest.ended.state if newest.ended else ""
        if not state and run_id and (ended := end(run_id)) is not None:
            state = ended.state
        if newest.asked.at >= closed_at and run_id and (not state or by_drift or state in _TRAINED):
            return RoundPlan("share", run_id)
        if not state:
            return RoundPlan("wait")
    return RoundPlan("ask-policy" if by_drift else "own-run")
