"""What the API shows of a run's tasks where one of their records cannot be read."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kfp_server_api import V2beta1PipelineTaskDetail

from linnet.engine.api.runs import list_artifacts, read_artifact
from linnet.engine.api_errors import ApiError
from linnet.engine.serializers import run_view
from linnet.engine.store import ResourceStore
from linnet.engine.supervisor import close_tasks
from linnet.records import ArtifactRecord, TaskRecord, now
from linnet.run import runs


@pytest.fixture
def request_of(state: Path) -> Any:
    """A request to an engine with one run: the record of one task is whole, that of another is cut short."""
    store = ResourceStore(state / "engine" / "index.db")
    store.add("run", "r1", {"run_id": "r1", "state": "FAILED", "pipeline_version_reference": {}}, {})
    tasks = runs.runs_dir() / "r1" / "tasks"
    tasks.mkdir(parents=True)
    written = runs.runs_dir() / "r1" / "out"
    written.write_text("abc")
    whole = TaskRecord(
        path="train", name="train", kind="program", state="SUCCEEDED", created_at=now(),
        artifacts=(ArtifactRecord(output="model", uri=str(written), type="system.Model"),),
    )  # fmt: skip
    whole.save(tasks / "train.json")
    (tasks / "release.json").write_text((tasks / "train.json").read_text()[:40])
    return SimpleNamespace(app=SimpleNamespace(state=SimpleNamespace(engine=SimpleNamespace(store=store))))


def test_task_whose_record_cannot_be_read_is_shown_with_what_is_wrong(request_of: Any) -> None:
    """It was left out: a run whose release nobody could read had the tasks of one that never came so far."""
    run = request_of.app.state.engine.store.get("run", "r1")
    whole, broken = run_view(run)["run_details"]["task_details"]
    assert (whole["task_id"], whole["state"]) == ("train", "SUCCEEDED")
    assert (
        broken["task_id"] == "release"
        and "release.json: not a readable TaskRecord" in broken["error"]["message"]
    )
    V2beta1PipelineTaskDetail(state=broken["state"])  # the SDK knows the state


def test_artifacts_of_a_run_are_listed_whole_or_not_at_all(request_of: Any) -> None:
    """Who asks for a run's evidence must not take what is left for all of it."""
    with pytest.raises(ApiError, match="release") as caught:
        list_artifacts(request_of, "r1")
    assert caught.value.reason == "INTERNAL"
    assert Path(read_artifact(request_of, "r1", "train", "model", 0, "").path).read_text() == "abc"
    with pytest.raises(ApiError, match="not a readable TaskRecord"):
        read_artifact(request_of, "r1", "release", "model", 0, "")
    with pytest.raises(ApiError, match="no task 'none'"):
        read_artifact(request_of, "r1", "none", "model", 0, "")


def test_damaged_pipeline_and_tasks_that_cannot_be_closed_are_logged(
    request_of: Any, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    store, folder = request_of.app.state.engine.store, runs.runs_dir() / "r1"
    (folder / "pipeline.json").write_text("{")
    store.add("run", "r1x", {"run_id": "r1x"}, {})
    folder.rename(folder.with_name("r1x"))
    shown = run_view(store.get("run", "r1x"))
    assert "pipeline_spec" not in shown and "pipeline.json" in caplog.text
    close_tasks(folder.with_name("r1x"))
    assert "release.json" in capsys.readouterr().out
    assert json.loads((folder.with_name("r1x") / "tasks" / "train.json").read_text())["state"] == "SUCCEEDED"
