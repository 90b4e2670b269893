"""The training run that a finished labelling round causes, asked of a real engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from linnet.automation.label_run import EngineTrigger
from linnet.config import parse_config
from linnet.errors import RunError
from linnet.records import RunRequest
from tests.engine.engines import RunningEngine


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


def test_host_that_does_not_answer_is_named_and_the_round_stays_due() -> None:
    config = parse_config({"name": "photos", "engine": {"host": "http://127.0.0.1:9"}})
    request = RunRequest(cause="labels", actor="label studio", reason="round b1", evidence={})
    with pytest.raises(RunError, match=r"http://127\.0\.0\.1:9 does not answer"):
        EngineTrigger(config).request_run(request, "labels-photos.dvc", "labels/photos/b1")
