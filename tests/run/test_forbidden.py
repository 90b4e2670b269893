"""A run folder, or a file in it, that this user may not read: it hides no other run, and is told."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from linnet.console.pages.data import dataset_versions
from linnet.console.pages.release import decisions
from linnet.records import RunRequest
from linnet.registry import run_mirror
from linnet.report.evidence import read_evidence
from linnet.retraining.known_models import known_models
from linnet.run import runs
from linnet.run.model_config import model_config
from linnet.run.outputs import latest_evaluation
from tests.permissions import forbidden

REQUEST = RunRequest(cause="person", actor="a", commit="abc")


@pytest.fixture
def created(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three runs of a model, a second apart, the newest first."""
    config = {"name": "d", "registry": {"model": "d"}}
    made = []
    for second in range(3):
        with monkeypatch.context() as patched:
            patched.setattr(runs, "now", lambda at=second: datetime(2026, 1, 1, 0, 0, at, tzinfo=UTC))
            made.append(runs.create("training", config, REQUEST)[1])
    return made[::-1]


def test_run_folder_that_may_not_be_entered_hides_no_other_and_is_told(
    created: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    """One such folder ended every answer: whether its record is there at all could not be asked either."""
    closed, last, first = created
    told: list[str] = []
    with forbidden(closed):
        for read in (runs.load, runs.recorded):
            assert [folder for folder, _ in runs.readable(read, told=told.append)] == [last, first]
        assert [one.model for one in known_models()] == ["d"]
        assert model_config("d").doubts
    assert len(told) == 2 and all(closed.name in line and "Permission denied" in line for line in told)
    assert f"older settings where run {closed.name} is the newest" in caplog.text


def test_run_folder_that_may_not_be_entered_keeps_no_other_from_the_mirror(
    created: list[Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    closed, last, first = created
    for folder in created:
        record = runs.recorded(folder)
        ended = {"state": "succeeded", "ended_at": record.started_at}
        record.model_copy(update=ended).save(folder / "run.json")
    monkeypatch.setattr(run_mirror, "mirror", lambda *_: "of MLflow")
    with forbidden(closed):
        assert run_mirror.mirror_pending() == ([first.name, last.name], [])
    assert f"run {closed.name} is passed over" in caplog.text
    assert run_mirror.mirror_pending() == ([closed.name], [])


def test_who_may_read_a_run_and_not_write_it_sees_that_it_runs(created: list[Path]) -> None:
    running, ended, _ = created
    held = [runs.hold(folder) for folder in (running, ended)]
    os.close(held[1])
    with forbidden(running / "lock", 0o444), forbidden(ended / "lock", 0o444):
        assert runs.load(running).state == "running" and runs.alive_folders() == [running]
        assert runs.load(ended).state == "interrupted"
    with forbidden(running / "lock"):
        assert runs.load(running).state == "running"  # nobody may know: it is not said to be gone
    os.close(held[0])
    assert not runs.alive(running)


def linked(folder: Path) -> Path:
    """What hides the artifacts of a run while it is under way and after it: the target of a task's link."""
    there = folder / "artifacts" / "whole-name" / "evaluate" / "report"
    there.mkdir(parents=True)
    (folder / "evaluate").mkdir()
    (folder / "evaluate" / "report").symlink_to(there)
    return there


def unlinked(folder: Path) -> Path:
    """The same for a run that did not end: no short name was given."""
    (folder / "artifacts" / "whole-name" / "evaluate" / "report").mkdir(parents=True)
    return folder / "artifacts"


def unlinked_inner(folder: Path) -> Path:
    return unlinked(folder) / "whole-name"


@pytest.mark.parametrize("hidden", [linked, unlinked, unlinked_inner])
def test_artifacts_that_may_not_be_read_are_told(created: list[Path], hidden: Callable[[Path], Path]) -> None:
    """The run looked as if it had never been evaluated, or raised what nobody expects."""
    run = created[0]
    with forbidden(hidden(run)):
        evidence = read_evidence(run)
        assert evidence.evaluation is None and evidence.pages == []
        assert any("evaluate: " in line and "Permission denied" in line for line in evidence.unread)
    assert read_evidence(run).unread == ()


@pytest.mark.parametrize("hidden", [linked, unlinked, unlinked_inner])
def test_newest_outputs_that_may_not_be_read_hide_no_older_ones_and_are_told(
    created: list[Path], hidden: Callable[[Path], Path], caplog: pytest.LogCaptureFixture
) -> None:
    newest, middle, _ = created
    (middle / "evaluate" / "report").mkdir(parents=True)
    (middle / "evaluate" / "report" / "candidates.npz").touch()
    closed = hidden(newest)
    next(closed.rglob("report"), closed).joinpath("candidates.npz").touch()
    with forbidden(closed):
        assert latest_evaluation("d") == middle / "evaluate" / "report"
    assert f"what evaluate of run {newest.name} wrote is passed over" in caplog.text


def test_pages_over_many_runs_tell_artifacts_that_may_not_be_read(created: list[Path]) -> None:
    """They were blank for one such run."""
    closed = unlinked(created[0])
    with forbidden(closed):
        context: Any = SimpleNamespace(sources=SimpleNamespace(runs=lambda: [runs.recorded(created[0])]))
        found, unread = dataset_versions(context)
        assert found == [] and len(unread) == 1 and f"the dataset of run {created[0].name}: " in unread[0]
        released, unread = decisions(context, "d")
        assert released == [] and len(unread) == 1 and f"the release of run {created[0].name}: " in unread[0]
