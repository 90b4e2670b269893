"""The training run that a finished labelling round causes, asked of a real engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linnet.automation import label_run
from linnet.automation.label_run import EngineTrigger
from linnet.config import parse_config
from linnet.errors import RunError
from linnet.labels.trigger import NO_RUN
from linnet.records import RunRequest
from linnet.retraining.ledger import RetrainingLedger
from linnet.retraining.submission import submit_asked
from linnet.retraining.trigger import Trigger
from tests.doubles.training_runs import RunsInMemory
from tests.engine.engines import RunningEngine
from tests.retraining.evidence import HOUR, NOON, evidence


@pytest.mark.slow
def test_round_causes_one_run_with_its_label_set_however_often_it_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "state"))
    config = parse_config({"name": "photos", "data": {"kind": "idx", "location": str(tmp_path / "nothing")}})
    request = RunRequest(cause="labels", actor="label studio", reason="round b1", evidence={"batch": "b1"})
    engine = RunningEngine(tmp_path / "state").start()
    try:
        run_id = EngineTrigger(config).request_run(request, "labels-photos.dvc", "labels/photos/b1")
        again = EngineTrigger(config).request_run(request, "labels-photos.dvc", "labels/photos/b1")
        other = EngineTrigger(config).request_run(request, "labels-photos.dvc", "labels/photos/b2")
    finally:
        engine.stop()
    assert run_id == again != other
    record = json.loads((engine.folder(run_id) / "run.json").read_text())
    assert record["request"]["cause"] == "labels" and record["request"]["evidence"] == {"batch": "b1"}
    assert record["config"]["labels"]["version"] == "labels-photos.dvc"
    assert config.labels.version == "", "the next round does not inherit it"


@pytest.mark.slow
def test_round_that_asks_again_in_other_words_is_given_its_run(tmp_path: Path) -> None:
    """The reply was lost, and then an answer came, or somebody edited the config."""
    key = "labels/photos/b1"
    config = parse_config({"name": "photos", "data": {"kind": "idx", "location": str(tmp_path / "nowhere")}})
    asked = RunRequest(cause="labels", actor="label studio", evidence={"key": key, "answers": 3})
    later = asked.model_copy(update={"evidence": {"key": key, "answers": 4}})
    engine = RunningEngine(tmp_path / "state").start()
    try:
        run_id = EngineTrigger(config).request_run(asked, "labels-photos.dvc", key)
        again = EngineTrigger(config).request_run(later, "labels-photos.dvc", key)
    finally:
        engine.stop()
    assert again == run_id


def round_request(by_drift: bool) -> RunRequest:
    evidence = {"key": "labels/tiny/b1", "closed_at": NOON.isoformat(), "by_drift": by_drift}
    return RunRequest(cause="labels", actor="label studio", reason="round b1", evidence=evidence)


@pytest.mark.parametrize(("found", "expected"), [({}, "asked"), ({"new_labels": 20}, NO_RUN)])
def test_round_of_drift_has_the_policy_decide_once_and_shares_its_run(
    found: dict[str, int], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And never a run beside it, whatever the policy says: its later decisions count the labels."""
    config = parse_config({"name": "tiny", "engine": {"host": "http://127.0.0.1:9"}})
    runs, ledger = RunsInMemory(), RetrainingLedger("tiny")
    policy = Trigger(ledger, runs, config.retraining, lambda: evidence(**found), lambda: NOON + 9 * HOUR)
    monkeypatch.setattr(label_run, "trigger_of", lambda _config: policy)
    asking = EngineTrigger(config)
    answer = asking.request_run(round_request(True), "l.dvc", "labels/tiny/b1")
    if expected == NO_RUN:
        assert answer == NO_RUN and ledger.runs == []
        return
    assert answer == "", "the engine submits it"
    assert asking.request_run(round_request(True), "l.dvc", "labels/tiny/b1") == ""
    assert asking.request_run(round_request(False), "l.dvc", "labels/tiny/b2") == "", "another round waits"
    submit_asked(RetrainingLedger("tiny"), runs, runs.submit)
    (run,) = ledger.runs
    assert asking.request_run(round_request(True), "l.dvc", "labels/tiny/b1") == f"run-{run.key}"
    assert [entry.kind for entry in RetrainingLedger("tiny").entries()].count("decision") == 1


def test_round_asks_by_itself_where_the_policy_is_off() -> None:
    config = parse_config(
        {"name": "tiny", "engine": {"host": "http://127.0.0.1:9"}, "retraining": {"enabled": False}}
    )
    with pytest.raises(RunError, match="does not answer"):
        EngineTrigger(config).request_run(round_request(True), "l.dvc", "labels/tiny/b1")


def test_host_that_does_not_answer_is_named_and_the_round_stays_due() -> None:
    config = parse_config({"name": "photos", "engine": {"host": "http://127.0.0.1:9"}})
    request = RunRequest(cause="labels", actor="label studio", reason="round b1", evidence={})
    with pytest.raises(RunError, match=r"http://127\.0\.0\.1:9 does not answer"):
        EngineTrigger(config).request_run(request, "labels-photos.dvc", "labels/photos/b1")
