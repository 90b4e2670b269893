"""What the runs of the state folder tell the policy, whatever lies beside them."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

import pytest

from linnet.commands.cache import _needed
from linnet.commands.tune import last_training_set
from linnet.config import Config, RegistryConfig
from linnet.errors import RetrainingError, RunError
from linnet.records import RunRequest, StageRecord, now
from linnet.retraining import known_models
from linnet.retraining.runs import RecordedRuns
from linnet.retraining.wiring import _rollouts, trigger_of_model
from linnet.run import runs
from linnet.run.outputs import latest_evaluation
from tests.commands.test_cache_commands import linnet


def began(name: str, pipeline: str = "training", key: str = "", model: str = "") -> Path:
    request = RunRequest(cause="person", actor="ada", evidence={"key": key} if key else {})
    config = Config(name=name, registry=RegistryConfig(model=model))
    return runs.create(pipeline, config.values(), request)[1]


def spoil(folder: Path) -> Path:
    """As a newer Linnet's run is read by this one."""
    record = (folder / "run.json").read_text()
    (folder / "run.json").write_text(record.replace("{", '{"unheard_of": 1,', 1))
    return folder


@pytest.fixture
def spoiled() -> Path:
    """A run that asks for the policy's `k`, and beside it, newer, one that cannot be read."""
    folder = began("tiny", key="k")
    spoil(began("tiny"))
    return folder


def test_runs_are_found_beside_one_that_cannot_be_read(spoiled: Path) -> None:
    known = RecordedRuns()
    assert known.find("k") == spoiled.name and known.find("another") is None
    with pytest.raises(RetrainingError, match="never trained here"):
        trigger_of_model("tiny")
    with pytest.raises(RunError, match="no run has evaluated a model 'tiny'"):
        latest_evaluation("tiny")
    with pytest.raises(RunError, match="no run has built a training set"):
        last_training_set(Config(name="tiny"))
    assert spoiled.name in linnet("runs", "list")


def test_list_says_that_there_are_more_runs() -> None:
    for _ in range(2):
        began("tiny")
    assert "the newest 1; --limit shows more" in linnet("runs", "list", "--limit", "1")
    assert "--limit" not in linnet("runs", "list", "--limit", "2")


def test_training_set_of_another_use_case_with_the_same_data_is_not_taken() -> None:
    """Its people's labels and its production windows are in it."""
    made = began("shoes") / "build-features" / "training_set"
    made.mkdir(parents=True)
    (made / "training_set.json").write_text("{}")
    assert last_training_set(Config(name="shoes")) == made
    with pytest.raises(RunError, match="no run has built a training set for boots"):
        last_training_set(Config(name="boots"))


def test_run_that_cannot_be_read_is_over_when_its_process_is(spoiled: Path) -> None:
    lock = runs.hold(spoil(spoiled))
    assert RecordedRuns().end(spoiled.name) is None
    os.close(lock)
    end = RecordedRuns().end(spoiled.name)
    assert end is not None and end.state == "interrupted" and "not a readable RunRecord" in end.reason


def test_cache_keeps_what_a_run_that_cannot_be_read_made(spoiled: Path) -> None:
    StageRecord(task="train", state="succeeded", started_at=now(), key="abc").save(
        spoil(spoiled) / "stages" / "train.json"
    )
    assert _needed([]) == {"abc": f"run {spoiled.name} cannot be read"}


def test_rollout_is_under_way_however_often_models_are_monitored_meanwhile() -> None:
    rollout = began("tiny")
    lock = runs.hold(rollout)
    stage = StageRecord(task="release", state="running", started_at=now() - timedelta(hours=20))
    stage.save(rollout / "stages" / "release.json")
    for name in ("tiny", "other"):
        for _ in range(30):
            began(name, "monitoring")
    assert _rollouts("tiny") == [(stage.started_at, None)] and _rollouts("other") == []
    os.close(lock)


def test_models_are_known_beside_a_busy_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_models, "_MOST_RUNS", 2)
    began("quiet-model")
    for _ in range(5):
        began("busy", "monitoring")
    assert [one.model for one in known_models.known_models()] == ["busy", "quiet-model"]


def test_run_that_cannot_be_read_is_told_where_settings_are_looked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The settings of the run before counted, or the model was not looked after at all, without a word."""
    began("tiny")
    newest = began("tiny")
    (newest / "run.json").write_text("{")
    known_models._tell.cache_clear()
    assert [one.model for one in known_models.known_models()] == ["tiny"]
    assert f"retraining goes by older settings where run {newest.name} is the newest" in caplog.text


def test_newest_evaluation_is_of_the_model_that_is_asked_not_of_its_use_case() -> None:
    found = {}
    for model in ("", "tiny-large"):
        report = began("tiny", model=model) / "evaluate" / "report"
        report.mkdir(parents=True)
        (report / "candidates.npz").write_bytes(b"")
        found[model or "tiny"] = report
    assert {model: latest_evaluation(model) for model in found} == found


def test_model_whose_sections_are_of_another_linnet_is_told_and_hides_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Nobody decided about its retraining any more, and nothing said so."""
    for name, section in (("old", {"vanished_setting": 1}), ("new", {})):
        runs.create("training", {"name": name, "retraining": section}, RunRequest(cause="person", actor="a"))
    known_models._tell.cache_clear()
    assert [one.model for one in known_models.known_models()] == ["new"]
    assert "retraining of old is not decided" in caplog.text and "vanished_setting" in caplog.text
