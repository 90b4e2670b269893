"""When drift has people asked, and about how many images. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from linnet.config import RetrainingConfig
from linnet.records import Condition, RetrainingEvidence
from linnet.retraining.history import History

PROOF = ("drift.windows", "drift.newest")
"""Conditions of a retraining for drift that must hold before anybody is asked."""


def questions(
    drift: Sequence[Condition],
    evidence: RetrainingEvidence,
    history: History,
    config: RetrainingConfig,
    at: datetime,
) -> int:
    """How many images people are to be asked about now: what drift lacks to ask for a run; mostly 0.

    Drift must be proven as it must for a run. Questions that wait for an answer already count as asked.
    """
    proven = all(one.met for one in drift if one.name in PROOF)
    if not (config.enabled and proven) or evidence.rollout_active or evidence.training or history.active:
        return 0
    if history.last_round and at - history.last_round < timedelta(hours=config.cooldown_hours):
        return 0
    missing = config.min_new_labels - evidence.new_labels - evidence.open_questions
    return max(min(missing, config.label_budget), 0)


def still_open(evidence: RetrainingEvidence) -> str:
    """What people have not answered yet, and what shows it; empty: nothing."""
    if not evidence.open_questions:
        return ""
    return f"; {evidence.open_questions} questions wait for an answer (`linnet labels status` shows them)"
