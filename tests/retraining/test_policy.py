"""The policy: each condition by itself says no, and all of them together say yes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from linnet.config import RetrainingConfig
from linnet.records import Interval, RetrainingDecision
from linnet.retraining.history import History, PastRun
from linnet.retraining.policy import decide
from tests.retraining.evidence import HOUR, NOON, evidence, window

AT = NOON + 6 * HOUR
CONFIG = RetrainingConfig()


def asked(found: Any = None, history: History | None = None, **config: Any) -> RetrainingDecision:
    changed = CONFIG.model_copy(update=config)
    return decide(found or evidence(), history or History(), changed, AT, "monitoring")


def past(*hours_ago: float, state: str = "succeeded", cost: float | None = 1.0) -> History:
    return History(tuple(PastRun(AT - h * HOUR, bool(state), state, cost) for h in hours_ago))


def refused_by(decision: RetrainingDecision) -> list[str]:
    return [item.name for item in decision.conditions if not item.met and not item.name.endswith(".off")]


def test_decide_proven_drift_asks_for_a_run_with_its_reasons() -> None:
    decision = asked()
    assert decision.request and decision.cause == "drift"
    assert refused_by(decision) == []
    assert "5 of the last 5 windows violate" in decision.reason
    assert "accuracy lost 0.120 (at least 0.090" in decision.reason


@pytest.mark.parametrize(
    ("windows", "request_run"),
    [
        ("vv", False),
        ("vvv", True),
        (".vv.v", True),
        ("vvvv.", False),  # the newest does not violate
        ("vvv....v", False),  # too long ago
        ("vv...vv", False),  # only the last five count
        ("vvrv", True),
        ("222vv", False),  # another version's windows say nothing about this one
        ("vvv22", True),
        ("", False),
    ],
)
def test_decide_counts_k_of_the_last_n_windows_of_the_champion(windows: str, request_run: bool) -> None:
    assert asked(evidence(windows)).request is request_run


def test_decide_counts_a_window_that_our_rollout_touched_if_people_labelled_it() -> None:
    """The canary of the champion itself touched it; 2,000 labels prove what users lost all the same."""
    once: dict[str, Any] = {"windows": 1, "violations": 1}
    labelled = asked(evidence(windows=(window(0, rollout=True, labelled=2000),)), **once)
    assert labelled.request and labelled.cause == "drift", labelled.reason
    silent = asked(evidence(windows=(window(0, rollout=True, labelled=0, accuracy=None),)), **once)
    assert not silent.request, "what moved may be our own replay"
    assert "1 saw a rollout of ours and no labels (POST /feedback tells" in silent.reason


def test_decide_names_every_window_that_it_leaves_out() -> None:
    windows = (window(0, version="2"), window(1, rollout=True, labelled=0), window(2))
    decision = asked(evidence(windows=windows, thin_windows=3, unread_windows=2))
    told = {one.name: one.detail for one in decision.conditions}["drift.windows"]
    assert told == (
        "1 of the last 1 windows violate, 3 of 5 are needed; left out: "
        "1 were served by another version than 1; "
        "1 saw a rollout of ours and no labels (POST /feedback tells what users lost in them); "
        "3 had too few images for a verdict (monitoring.min_rows); "
        "the records of 2 cannot be read (the log says why)"
    )
    none = {one.name: one.detail for one in asked(evidence("")).conditions}
    assert none["drift.newest"].startswith("no window of version 1 was monitored yet: `linnet up`")


def test_decide_that_waits_says_for_what_how_much_and_what_changes_it() -> None:
    decision = asked(evidence(new_labels=20))
    assert not decision.request
    assert decision.reason.startswith(
        "5 of the last 5 windows violate, 3 of 5 are needed; a run waits for this: "
    )
    assert "20 new labels, 500 are needed; 480 are missing: ask for them (`linnet labels round`)" in (
        decision.reason
    )
    assert "retraining.min_new_labels" in decision.reason


@pytest.mark.parametrize(
    ("loss", "request_run"),
    [
        (Interval(value=0.1, low=0.021, high=0.2), True),
        (Interval(value=0.1, low=0.02, high=0.2), False),  # not beyond what is tolerated
        (Interval(value=0.1, low=-0.01, high=0.2), False),
        (Interval(value=float("nan"), low=float("nan"), high=float("nan")), False),
        (None, False),  # nobody can say
    ],
)
def test_decide_drift_asks_only_if_the_loss_is_proven(loss: Interval | None, request_run: bool) -> None:
    windows = tuple(window(number, loss=loss) for number in range(5))
    decision = asked(evidence(windows=windows))
    assert decision.request is request_run
    assert request_run or refused_by(decision) == ["drift.loss"]


def test_decide_says_why_labels_that_came_do_not_count() -> None:
    notes = ("600 label(s) measure the accuracy, and cannot be trained on",)
    decision = asked(evidence(new_labels=0, label_notes=notes), trigger_after_labels=100)
    told = {one.name: one.detail for one in decision.conditions}
    assert told["drift.labels"].startswith(f"0 new labels, 500 are needed; {notes[0]}; 500 are missing: ")
    assert told["labels.count"].startswith(
        f"0 new labels, 100 ask by themselves; {notes[0]}; 100 are missing"
    )


@pytest.mark.parametrize(
    ("found", "history", "config", "guard"),
    [
        ({"new_labels": 499}, History(), {}, "drift.labels"),
        ({}, History(), {"enabled": False}, "guard.enabled"),
        ({"champion": None}, History(), {}, "guard.champion"),
        ({"rollout_active": True}, History(), {}, "guard.rollout"),
        ({}, past(13, state=""), {}, "guard.active"),
        ({"training": "by-a-person"}, History(), {}, "guard.active"),
        ({}, History(failures=3), {}, "guard.breaker"),
        ({}, past(11.9), {}, "guard.cooldown"),
        ({"rolled_back": AT - timedelta(hours=11.9)}, History(), {}, "guard.rolled_back"),
        ({}, past(23, 13), {}, "guard.daily"),
        ({}, past(600, 500, cost=50.0), {}, "guard.cost"),
        ({}, past(600, 500, cost=None), {"run_cost": 34.0}, "guard.cost"),
    ],
)
def test_decide_one_unmet_condition_refuses(
    found: dict[str, Any], history: History, config: dict[str, Any], guard: str
) -> None:
    decision = asked(evidence(**found), history, **config)
    assert not decision.request
    assert guard in refused_by(decision)
    assert set(refused_by(decision)) <= {guard, "drift.windows", "drift.newest", "drift.loss"}


def test_decide_limits_lie_where_they_are_said_to_lie() -> None:
    assert asked(history=past(12)).request, "the cool-down is over after exactly twelve hours"
    assert asked(history=past(24, 13)).request, "a run of 24 hours ago is not of these 24 hours"
    assert asked(history=past(600, 500, cost=33.0)).request, "33 + 33 + 33 stay within 100"
    assert asked(history=past(721, 500, cost=50.0)).request, "what was spent 30 days ago is forgotten"
    assert asked(history=History(failures=2)).request


@pytest.mark.parametrize(
    ("config", "history", "cause"),
    [
        ({"trigger_after_labels": 1000}, History(), "labels"),
        ({"trigger_after_labels": 1001}, History(), None),
        ({"max_age_days": 0.24}, History(), "staleness"),
        ({"max_age_days": 0.26}, History(), None),
        ({"schedule_days": 7.0}, History(), "schedule"),
        ({"schedule_days": 7.0}, past(7 * 24), "schedule"),
        ({"schedule_days": 7.0}, past(6.9 * 24), None),
    ],
)
def test_decide_other_triggers_ask_without_drift(
    config: dict[str, Any], history: History, cause: str | None
) -> None:
    decision = asked(evidence("....."), history, **config)
    assert decision.cause == cause and decision.request is (cause is not None)


def test_decide_quiet_stream_says_what_is_missing() -> None:
    decision = asked(evidence("....."))
    assert decision.reason == "nothing asks for a run: 0 of the last 5 windows violate, 3 of 5 are needed"


def test_history_a_run_without_a_bill_counts_as_the_dearest_of_the_last_five() -> None:
    runs = [PastRun(AT - h * HOUR, True, "succeeded", cost) for h, cost in ((9, 90.0), (8, 1.0), (7, 2.0))]
    history = History((*runs, *past(6, 5, 4, cost=3.0).runs, *past(3, cost=None).runs))
    assert history.run_cost(CONFIG) == 3.0
    assert history.spent(AT - timedelta(hours=4.5), CONFIG) == 6.0
