"""Where drift lacks labels people are asked, once, about what users sent; what is waited for is told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from linnet.automation import retraining
from linnet.automation.retraining import submit_for_model
from linnet.config import Config, RetrainingConfig, load_config
from linnet.records import Interval, RunRequest
from linnet.retraining.history import History, PastRun
from linnet.retraining.ledger import RetrainingLedger
from linnet.retraining.policy import decide
from linnet.retraining.trigger import Trigger
from tests.doubles.training_runs import RunsInMemory
from tests.retraining.evidence import HOUR, LOST, NOON, evidence, window

CONFIG = RetrainingConfig()
AT = NOON + 6 * HOUR
UNLABELLED = tuple(window(number, loss=None, labelled=0, accuracy=None) for number in range(5))
DRIFTED: dict[str, Any] = {"windows": UNLABELLED, "new_labels": 0}


def asked(history: History | None = None, config: RetrainingConfig = CONFIG, **found: Any) -> int:
    return decide(evidence(**{**DRIFTED, **found}), history or History(), config, AT, "monitoring").ask_labels


def test_proven_drift_without_labels_asks_people_under_the_shipped_settings() -> None:
    decision = decide(evidence(**DRIFTED), History(), CONFIG, AT, "monitoring")
    assert not decision.request and decision.ask_labels == CONFIG.min_new_labels == 500
    assert "people are asked about 500 images that users sent" in decision.reason
    assert "500 are missing" in decision.reason and "linnet labels" in decision.reason
    assert "retraining.min_new_labels" in decision.reason


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"new_labels": 420}, 80),
        ({"new_labels": 100, "open_questions": 300}, 100),
        ({"open_questions": 500}, 0),
        ({"new_labels": 500}, 0),
        ({"windows": UNLABELLED[:2]}, 0),
        ({"rollout_active": True}, 0),
        ({"training": "of-a-round"}, 0),
        ({"champion": None}, 0),
    ],
)
def test_no_more_is_asked_than_is_missing(found: dict[str, Any], expected: int) -> None:
    assert asked(**found) == expected


def test_nobody_is_asked_twice_within_the_cool_down_or_where_that_is_off() -> None:
    assert asked(History(last_round=AT - timedelta(hours=11))) == 0
    assert asked(History(last_round=AT - timedelta(hours=13))) == 500
    assert asked(History((PastRun(AT - HOUR, ended=False),))) == 0, "a run is under way"
    assert asked(config=CONFIG.model_copy(update={"label_budget": 0})) == 0
    assert asked(config=CONFIG.model_copy(update={"label_budget": 120})) == 120
    assert asked(config=CONFIG.model_copy(update={"enabled": False})) == 0


def test_open_questions_are_told_with_the_command_that_shows_them() -> None:
    decision = decide(evidence(**DRIFTED, open_questions=500), History(), CONFIG, AT, "monitoring")
    assert "500 questions wait for an answer (`linnet labels status` shows them)" in decision.reason


def test_answers_that_came_later_prove_the_loss_and_ask_for_a_run() -> None:
    """Windows are judged when they close; people answered hours later."""
    found = evidence(windows=UNLABELLED, new_labels=500, recent_loss=LOST, recent_labelled=500)
    decision = decide(found, History(), CONFIG, AT, "monitoring")
    assert decision.request and "on 500 labelled since drift began" in decision.reason
    small = Interval(value=0.01, low=-0.01, high=0.03)
    assert not decide(
        found.model_copy(update={"recent_loss": small}), History(), CONFIG, AT, "monitoring"
    ).request


def test_round_is_written_down_and_submitted_once_about_requests_alone(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[str, Config, RunRequest, str]] = []

    class Sent:
        run_id = "round-1"

    def submit(pipeline: str, config: Config, request: RunRequest, _: object, key: str) -> type[Sent]:
        sent.append((pipeline, config, request, key))
        return Sent

    monkeypatch.setattr(retraining, "submit_pipeline", submit)
    monkeypatch.setattr(retraining, "host_of", lambda _: None)
    plan = load_config(Path("configs/fashion.toml")).values()
    trigger = Trigger(
        RetrainingLedger("tiny"), RunsInMemory(), CONFIG, lambda: evidence(**DRIFTED), lambda: AT, plan
    )
    assert trigger.decide("monitoring", "monitoring pipeline").ask_labels == 500
    assert trigger.decide("monitoring", "monitoring pipeline").ask_labels == 0, "it is asked already"
    for _ in range(2):
        assert submit_for_model("tiny") == {}
    [(pipeline, config, request, key)] = sent
    assert (pipeline, request.cause, request.evidence["key"]) == ("labeling", "drift", key)
    assert (config.labels.budget, config.labels.requests_only, config.name) == (500, True, "fashion")
    ledger = RetrainingLedger("tiny")
    ledger.refresh()
    assert [entry.kind for entry in ledger.entries()] == ["decision", "labels-asked", "decision", "submitted"]
    assert not ledger.waiting and ledger.history().runs == () and ledger.history().last_round == AT
