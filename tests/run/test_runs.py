"""The run store: which runs there are, and in what order."""

from __future__ import annotations

import os
from typing import Any

import pytest

from linnet.errors import RunError
from linnet.launch.client import Host
from linnet.records import RunRecord, RunRequest
from linnet.registry import run_mirror
from linnet.run import ending, runs
from linnet.run.stage import Stage

REQUEST = RunRequest(cause="person", actor="a", commit="abc")


def test_folders_are_in_the_order_in_which_the_runs_began_also_within_a_second() -> None:
    begun = [runs.create("training", {"name": "d"}, REQUEST)[1] for _ in range(12)]
    assert len({folder.name[:-5] for folder in begun}) < 12, "some are of one second"
    assert runs.folders() == begun[::-1]
    assert runs.find() == begun[-1]


def test_run_that_is_under_way_is_found_behind_any_number_of_newer_ones() -> None:
    """Of which only the newest 20 were looked at: an engine that still had work was told to end."""
    _, working = runs.create("training", {"name": "d"}, REQUEST)
    lock = runs.hold(working)
    newer = [runs.create("training", {"name": "d"}, REQUEST)[1] for _ in range(25)]
    os.close(runs.hold(newer[0]))  # it has ended
    assert Host("http://127.0.0.1:1")._used()
    assert runs.alive_folders() == [working]
    os.close(lock)
    assert runs.alive_folders() == [] and not Host("http://127.0.0.1:1")._used()


def test_reopened_run_is_mirrored_again() -> None:
    _, folder = runs.create("training", {"name": "d"}, REQUEST)
    ending.finish(folder, worked=False)
    (folder / runs.MIRRORED).write_text("1")
    ending.reopen(folder)
    assert not (folder / runs.MIRRORED).exists()


@pytest.fixture
def on_cluster(monkeypatch: pytest.MonkeyPatch) -> list[RunRecord]:
    """A step's process on a cluster, whose pod names the run; the records that it sends to MLflow."""
    monkeypatch.setenv("LINNET_RUN_ID", "3f2a-run")
    sent: list[RunRecord] = []
    monkeypatch.setattr(run_mirror, "mirror", lambda record, config: sent.append(record))
    return sent


def test_exit_handler_on_a_cluster_makes_the_record_of_a_run_that_was_submitted_there(
    on_cluster: list[RunRecord],
) -> None:
    Stage("train").end("succeeded", values={"loss": 0.1})
    request: dict[str, Any] = {"cause": "schedule", "actor": "cluster", "commit": "abc"}
    record = ending.close("monitoring", "d", request, worked=True, prices={"cpu_hour": 3600.0})
    assert record.pipeline == "monitoring"
    assert (record.run_id, record.state, record.commit) == ("3f2a-run", "succeeded", "abc")
    assert record.request.cause == "schedule" and record.stages[0].values == {"loss": 0.1}
    assert record.cost is not None and record.cost.cost >= record.cost.cpu_seconds > 0, (
        "by the prices that the pipeline was given"
    )
    run_mirror.mirror_from_cluster(record, {})
    assert on_cluster == [record]


def test_exit_handler_on_a_cluster_notes_what_failed_and_its_record_goes_on_after_a_retry(
    on_cluster: list[RunRecord],
) -> None:
    Stage("train").end("failed", error=RunError("no GPU"))
    assert ending.close("training", "d", {}, worked=False).state == "failed"
    again = RunRecord.load(runs.runs_dir() / "3f2a-run" / "run.json")
    assert again.error == "no GPU" and again.request.actor == "cluster"
    Stage("train").end("succeeded")
    assert ending.close("training", "d", {}, worked=True).state == "succeeded"


def test_exit_handler_on_this_machine_leaves_the_mirror_to_the_engine(
    on_cluster: list[RunRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    record, folder = runs.create("training", {"name": "d"}, REQUEST)
    monkeypatch.setenv("LINNET_RUN_DIR", str(folder))
    run_mirror.mirror_from_cluster(record, {})
    assert on_cluster == []


def test_exit_handler_without_a_run_says_which_variables_name_it() -> None:
    with pytest.raises(RunError, match="LINNET_RUN_DIR nor LINNET_RUN_ID"):
        ending.close("training", "d", {}, worked=True)


def test_commit_of_a_run_is_the_one_it_was_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINNET_COMMIT", "later")
    _, folder = runs.create("training", {"name": "d"}, REQUEST)
    assert runs.commit_of(folder) == "abc"
    assert runs.commit_of(folder.with_name("none")) == runs.commit_of(None) == "later"


def test_run_that_cannot_be_read_is_told_once_and_hides_no_other(caplog: pytest.LogCaptureFixture) -> None:
    first, damaged, last = (runs.create("training", {"name": "d"}, REQUEST)[1] for _ in range(3))
    (damaged / "run.json").write_text('{"of": "a newer Linnet"}')
    for read in (runs.load, runs.recorded):
        found = [(folder, record.run_id) for folder, record in runs.readable(read)]
        assert found == [(last, last.name), (first, first.name)]
    (told,) = caplog.messages
    assert damaged.name in told and "not a readable RunRecord" in told
    assert [folder for folder, _ in runs.readable(among=[damaged, first])] == [first]
