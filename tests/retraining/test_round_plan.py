from __future__ import annotations

from datetime import timedelta

import pytest

from linnet.records import RetrainingEntry
from linnet.retraining.ledger import AskedRun
from linnet.retraining.round_plan import plan_of_round
from linnet.retraining.runs import RunEnd
from tests.retraining.evidence import HOUR, NOON


def run(hours: float, submitted: bool = True, ended: str = "") -> AskedRun:
    """A run that the policy asked for so long after the round was closed, at noon."""

    def entry(kind: str, **more: object) -> RetrainingEntry:
        at = NOON + hours * HOUR
        values = {"at": at, "model": "tiny", "kind": kind, "actor": "x", "key": "k", "reason": "", **more}
        return RetrainingEntry.model_validate(values)

    asked = AskedRun(entry("asked"))
    asked.submitted = entry("submitted", run_id="r1") if submitted else None
    asked.ended = entry("ended", state=ended) if ended else None
    return asked


@pytest.mark.parametrize(
    ("by_drift", "runs", "expected"),
    [
        (False, [], "own-run"),
        (True, [], "ask-policy"),
        (False, [run(-1, ended="succeeded")], "own-run"),
        (True, [run(-1, ended="succeeded")], "ask-policy"),
        (False, [run(-1)], "wait"),
        (True, [run(-1)], "wait"),
        (False, [run(1, submitted=False)], "wait"),
        (True, [run(1, submitted=False)], "wait"),
        (False, [run(1)], "share"),
        (True, [run(1)], "share"),
        (False, [run(1, ended="rejected")], "share"),
        (False, [run(1, ended="failed")], "own-run"),
        (True, [run(1, ended="failed")], "share"),
        (False, [run(1, submitted=False, ended="failed")], "own-run"),
    ],
)
def test_plan_of_round_trains_with_the_answers_once(
    by_drift: bool, runs: list[AskedRun], expected: str
) -> None:
    plan = plan_of_round(NOON, by_drift, runs, lambda _: None)
    assert plan.do == expected and plan.run_id == ("r1" if expected == "share" else "")


def test_plan_of_round_asks_whether_a_run_ended_that_the_ledger_has_under_way() -> None:
    """The ledger hears of it at the policy's next decision, an hour later perhaps."""
    over = RunEnd("succeeded", NOON + timedelta(minutes=5), "2")
    assert plan_of_round(NOON, False, [run(-1)], lambda _: over).do == "own-run"
    assert plan_of_round(NOON, True, [run(-1)], lambda _: over).do == "ask-policy"
