"""A run folder, or a file in it, that this user may not read: it hides no other run, and is told."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from linnet.records import RunRequest
from linnet.registry import run_mirror
from linnet.retraining.known_models import known_models
from linnet.run import runs
from linnet.run.model_config import model_config
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
