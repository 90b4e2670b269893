"""The exit handler's component hears a final status from any host."""

from __future__ import annotations

from pathlib import Path

import pytest
from kfp.dsl import PipelineTaskFinalStatus

from components.record_run import record_run
from linnet.records import RunRecord, RunRequest
from linnet.run import runs


@pytest.mark.parametrize(
    ("state", "recorded"),
    [
        ("COMPLETE", "succeeded"),  # a cluster's driver, and this engine
        ("CACHED", "succeeded"),
        ("SUCCEEDED", "succeeded"),  # engines up to 0.1
        ("FAILED", "failed"),
        ("CANCELED", "failed"),  # whoever stopped the run makes it `interrupted`
    ],
)
def test_final_status_of_any_host_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, recorded: str
) -> None:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path))
    _, folder = runs.create("training", {"name": "x"}, RunRequest(cause="person", actor="test"))
    monkeypatch.setenv("LINNET_RUN_DIR", str(folder))
    status = PipelineTaskFinalStatus(
        state=state,
        pipeline_job_resource_name="run",
        pipeline_task_name="exit-handler-1",
        error_code=None,
        error_message=None,
    )
    record_run.python_func(pipeline="training", name="x", request={}, cost={}, registry={}, status=status)
    assert RunRecord.load(folder / "run.json").state == recorded
