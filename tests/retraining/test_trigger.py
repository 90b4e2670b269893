"""The trigger and its ledger: storms, restarts, kills, the breaker, and whether a run helped."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from linnet.config import RetrainingConfig
from linnet.errors import RetrainingError, RunError
from linnet.records import Interval, RetrainingEntry, RetrainingEvidence
from linnet.retraining.ledger import AskedRun, RetrainingLedger
from linnet.retraining.runs import RunEnd
from linnet.retraining.submission import GIVE_UP_AFTER, submit_asked
from linnet.retraining.trigger import LOST_AFTER, Trigger
from tests.doubles.training_runs import RunsInMemory
from tests.retraining.evidence import HOUR, NOON, evidence, window


@dataclass
class Stage:
    """A trigger with a clock that tests turn; `restart` gives what a new process would have."""

    folder: Path
    config: RetrainingConfig = field(default_factory=RetrainingConfig)
    found: RetrainingEvidence = field(default_factory=evidence)
    at: datetime = NOON
    runs: RunsInMemory = field(default_factory=RunsInMemory)

    def __post_init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self.ledger = RetrainingLedger("tiny", self.folder)
        self.trigger = Trigger(self.ledger, self.runs, self.config, lambda: self.found, lambda: self.at)

    def ask(self) -> bool:
        """Decides, and submits what was asked for, as the engine does within a second."""
        decision = self.trigger.decide("alert", "test")
        self.submit()
        return decision.request

    def submit(self) -> dict[str, str]:
        return submit_asked(self.ledger, self.runs, lambda run: self.runs.submit(run), lambda: self.at)

    def kinds(self) -> list[str]:
        return [entry.kind for entry in RetrainingLedger("tiny", self.folder).entries()]

    def end(self, state: Any, **more: Any) -> None:
        self.runs.finish(RunEnd(state, self.at, **more))
        self.trigger.settle()


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def test_decide_yes_is_written_down_submitted_and_carries_its_cause(stage: Stage) -> None:
    assert stage.ask()
    assert stage.kinds() == ["decision", "asked", "submitted"]
    (request,) = stage.runs.submitted.values()
    assert request.cause == "drift" and "5 of the last 5 windows violate" in request.reason
    assert len(request.evidence["windows"]) == 5 and request.evidence["key"] in stage.runs.submitted


def test_decide_no_is_written_down_too(stage: Stage) -> None:
    stage.found = evidence("....")
    assert not stage.ask()
    assert stage.kinds() == ["decision"] and stage.runs.submitted == {}


def test_decide_dry_run_leaves_no_trace(stage: Stage) -> None:
    assert stage.trigger.decide("person", "test", dry_run=True).request
    assert stage.kinds() == [] and stage.runs.submitted == {}


@pytest.mark.parametrize("alerts", [1_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_storm_of_flapping_alerts_starts_one_run_and_keeps_the_daily_budget(
    stage: Stage, alerts: int
) -> None:
    """Many alerts in an hour, with duplicates and flapping; runs end at once, and processes restart."""
    chance = random.Random(0)
    stage.config = RetrainingConfig(cooldown_hours=0.01, runs_per_day=2)
    stage.restart()
    active = most = 0
    for number in range(alerts):
        stage.at = NOON + number * HOUR / alerts
        stage.found = evidence("vvvv" + chance.choice("vv."))
        if stage.ask():
            active += 1
        most = max(most, active, stage.ledger.history().active)
        if number in (alerts // 100 + 1, alerts // 4):
            stage.restart()
        if active and chance.random() < 0.01:
            stage.runs.finish(RunEnd("rejected" if chance.random() < 0.5 else "succeeded", stage.at))
            active = 0
    assert most == 1
    assert len(stage.runs.submitted) == 2
    assert len(stage.kinds()) > alerts, "each decision stands in the ledger"
    stage.at = NOON + timedelta(days=1, hours=1)
    stage.found = evidence()
    assert stage.ask(), "the next day has a budget of its own"


def test_storm_with_the_usual_cooldown_starts_one_run(stage: Stage) -> None:
    for number in range(200):
        stage.at = NOON + number * timedelta(minutes=3)
        stage.ask()
        stage.end("succeeded")
    assert len(stage.runs.submitted) == 1


def test_cooldown_survives_a_restart(stage: Stage) -> None:
    assert stage.ask()
    stage.end("succeeded")
    stage.restart()
    stage.at = NOON + 11.9 * HOUR
    assert not stage.ask()
    assert "cool-down" in stage.ledger.newest.reason  # type: ignore[union-attr]
    stage.restart()
    stage.at = NOON + 12 * HOUR
    assert stage.ask()


def test_breaker_opens_after_three_failures_in_a_row_until_a_person_closes_it(stage: Stage) -> None:
    from linnet.retraining.breaker import reset_breaker

    for day, state in enumerate(("rejected", "succeeded", "rejected", "failed", "interrupted", "rejected")):
        stage.at = NOON + day * timedelta(days=1)
        assert stage.ask(), f"day {day}: two failures after the success are not three"
        stage.end(state)
    stage.at = NOON + timedelta(days=7)
    assert not stage.ask() and "reset-breaker" in stage.ledger.newest.reason  # type: ignore[union-attr]
    stage.restart()
    assert not stage.ask(), "the breaker survives a restart"
    assert reset_breaker(stage.ledger, "ada", "the labels were wrong, and are fixed") == 3
    assert stage.ask()


def test_submission_that_is_refused_is_tried_again(stage: Stage) -> None:
    stage.runs.refuses = "the engine does not answer"
    assert stage.ask()
    stage.restart()
    stage.at += GIVE_UP_AFTER / 2
    (problem,) = stage.submit().values()
    assert problem == "the engine does not answer"
    assert stage.kinds() == ["decision", "asked", "not-submitted"]
    stage.runs.refuses = ""
    assert stage.submit() == {} and stage.kinds()[-1] == "submitted" and len(stage.runs.submitted) == 1


def test_submission_that_is_refused_for_long_counts_as_a_failure(stage: Stage) -> None:
    stage.runs.refuses = "the engine does not answer"
    assert stage.ask()
    stage.at += GIVE_UP_AFTER
    stage.submit()
    assert stage.kinds() == ["decision", "asked", "not-submitted", "ended"]
    assert stage.ledger.history().failures == 1 and stage.submit() == {}
    assert not stage.ask(), "the cool-down"


def test_time_in_which_nobody_submits_does_not_count(stage: Stage) -> None:
    """The engine was off for a day: the run is submitted when it is back."""
    assert stage.trigger.decide("monitoring", "test").request
    stage.restart()
    stage.at += timedelta(days=1)
    stage.trigger.settle()
    assert stage.submit() == {} and stage.kinds() == ["decision", "asked", "submitted"]


def test_request_and_config_of_a_run_survive_a_restart(stage: Stage) -> None:
    stage.trigger.plan = {"name": "tiny", "train": {"epochs": 7}}
    stage.trigger.decide("monitoring", "test")
    stage.restart()
    stage.ledger.refresh()
    (run,) = stage.ledger.waiting
    assert run.asked.config == {"name": "tiny", "train": {"epochs": 7}}
    assert run.asked.request is not None and run.asked.request.evidence["key"] == run.key


def test_run_that_an_older_linnet_asked_for_is_given_up(stage: Stage) -> None:
    """Its line has neither request nor config: nobody can submit it now."""
    entry = RetrainingEntry(at=NOON, model="tiny", kind="asked", actor="a", key="old")
    with stage.ledger.held():
        stage.ledger.append(entry)
    assert stage.submit() == {} and stage.kinds() == ["asked"]
    stage.at += 2 * LOST_AFTER
    stage.trigger.settle()
    assert stage.ledger.runs[0].ended.state == "lost"  # type: ignore[union-attr]


def test_kill_between_asking_and_submitting_is_found_out(stage: Stage) -> None:
    class Killed(BaseException):
        pass

    submit = stage.runs.submit

    def killed_before(asked: AskedRun) -> str:
        raise Killed

    def killed_after(asked: AskedRun) -> str:
        submit(asked)
        raise Killed

    for number, break_off in enumerate((killed_after, killed_before), start=1):
        stage.runs.submit = break_off  # type: ignore[method-assign]
        with pytest.raises(Killed):
            stage.ask()
        stage.runs.submit = submit  # type: ignore[method-assign]
        stage.restart()
        stage.at += timedelta(minutes=1)
        assert not stage.ask(), "it counts as under way"
        (run,) = [run for run in stage.ledger.runs if run.ended is None]
        assert run.submitted is not None and len(stage.runs.submitted) == number
        stage.end("succeeded")
        assert stage.ledger.runs[-1].ended.state == "succeeded"  # type: ignore[union-attr]
        stage.at += timedelta(days=1)


def test_run_that_nobody_can_ask_for_is_not_given_up(stage: Stage) -> None:
    def silent(key: str) -> str | None:
        raise RunError("the engine does not answer")

    stage.ask()
    (run,) = stage.ledger.runs
    run.submitted = None  # as after a kill
    stage.runs.find = silent  # type: ignore[method-assign]
    stage.at += 10 * LOST_AFTER
    stage.trigger.settle()
    assert stage.ledger.history().active == 1


def test_ledger_learns_whether_the_run_helped(stage: Stage) -> None:
    stage.ask()
    stage.end("succeeded", version="2", cost=2.5)
    after = Interval(value=0.9, low=0.88, high=0.92)
    stage.found = evidence(champion="2", windows=(window(7, version="2", violates=False, accuracy=None),))
    stage.trigger.settle()
    assert "outcome" not in stage.kinds(), "no label has come yet"
    stage.found = evidence(champion="2", windows=(window(8, version="2", accuracy=after),))
    stage.trigger.settle()
    stage.trigger.settle()
    assert stage.kinds().count("outcome") == 1
    (run,) = stage.ledger.runs
    assert run.outcome is not None and run.outcome.helped is True
    assert "0.800 before, 0.900 after: it helped" in run.outcome.reason
    assert stage.ledger.history().run_cost(stage.config) == 2.5


@pytest.mark.parametrize(("low", "high", "helped"), [(0.9, 0.95, True), (0.80, 0.9, None), (0.5, 0.6, False)])
def test_outcome_is_told_only_if_the_intervals_lie_apart(
    stage: Stage, low: float, high: float, helped: bool | None
) -> None:
    stage.ask()
    stage.end("succeeded", version="2")
    after = Interval(value=(low + high) / 2, low=low, high=high)
    stage.found = evidence(windows=(window(8, version="2", accuracy=after),))
    stage.trigger.settle()
    assert stage.ledger.runs[0].outcome.helped is helped  # type: ignore[union-attr]


def test_ledger_that_was_changed_refuses_to_decide(stage: Stage) -> None:
    stage.ask()
    text = stage.ledger.path.read_text()
    stage.ledger.path.write_text(text.replace('"kind": "asked"', '"kind": "ended"', 1))
    stage.restart()
    with pytest.raises(RetrainingError, match="line 2 is not what Linnet wrote"):
        stage.ask()


_ASKER = """
import sys
from pathlib import Path
from tests.retraining.test_trigger import Stage
stage = Stage(Path(sys.argv[1]))
print("ready", flush=True)
while True:
    stage.ask()
"""


def test_ledger_of_a_process_killed_at_any_moment_stays_whole(tmp_path: Path) -> None:
    asked = 0
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", _ASKER, str(tmp_path)], stdout=subprocess.PIPE, cwd=Path.cwd()
        )
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        process.stdout.close()
        ledger = RetrainingLedger("tiny", tmp_path)
        while True:  # until it has written something
            ledger.refresh()
            if sum(ledger.decisions.values()) > asked + 3:
                break
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        asked = sum(entry.kind == "decision" for entry in RetrainingLedger("tiny", tmp_path).entries())
    stage = Stage(tmp_path)
    stage.ask()
    assert [kind for kind in stage.kinds() if kind == "asked"] == ["asked"], "one run in all of these lives"
