"""Records of ended runs go to MLflow by themselves, one process at a time."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import Any

import pytest

from linnet.automation.mlflow_sync import MlflowSync
from linnet.errors import RegistryError
from linnet.records import RunRequest
from linnet.registry import run_mirror
from linnet.run import ending, runs
from tests.commands.test_cache_commands import linnet


@pytest.fixture
def mirrored(monkeypatch: pytest.MonkeyPatch, state: Path) -> list[str]:
    """Names of the runs that were sent; no MLflow takes part."""
    sent: list[str] = []

    def mirror(record: Any, config: Any) -> str:
        sent.append(record.run_id)
        return "1"

    monkeypatch.setattr(run_mirror, "mirror", mirror)
    monkeypatch.setattr(run_mirror.os, "nice", lambda by: by)
    runs.runs_dir().mkdir(parents=True)
    return sent


def ended() -> str:
    record, folder = runs.create("training", {"name": "d"}, RunRequest(cause="person", actor="a"))
    ending.finish(folder, worked=True)
    return record.run_id


def test_mirror_sends_ended_runs_once_and_leaves_those_under_way(mirrored: list[str]) -> None:
    first = ended()
    under_way, _ = runs.create("training", {"name": "d"}, RunRequest(cause="person", actor="a"))
    assert run_mirror.main() == 0 and mirrored == [first]
    second = ended()
    assert run_mirror.main() == 0 and mirrored == [first, second]
    assert under_way.run_id not in mirrored


def test_mirror_is_not_needed_where_another_waits_to_look(mirrored: list[str]) -> None:
    ended()
    with (runs.runs_dir() / ".mirror-waits").open("w") as waiting:
        fcntl.flock(waiting, fcntl.LOCK_EX)
        assert run_mirror.main() == 0
    assert mirrored == []
    assert run_mirror.main() == 0 and len(mirrored) == 1


def test_mirror_that_fails_says_why_in_a_line_and_the_next_one_takes_what_is_left(
    mirrored: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = ended()

    def refuse(record: Any, config: Any) -> str:
        raise RegistryError("the registry is down")

    with monkeypatch.context() as patched:
        patched.setattr(run_mirror, "mirror", refuse)
        assert run_mirror.main() == 1
    assert capsys.readouterr().err == f"error: run {run}: the registry is down\n"
    assert run_mirror.main() == 0 and mirrored == [run]


def test_run_whose_mlflow_is_gone_holds_up_no_later_one(
    mirrored: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = ended(), ended()
    take = run_mirror.mirror

    def gone(record: Any, config: Any) -> str:
        if record.run_id == first:
            raise RegistryError("its MLflow is gone")
        return take(record, config)

    monkeypatch.setattr(run_mirror, "mirror", gone)
    assert run_mirror.main() == 1 and mirrored == [second]
    assert capsys.readouterr().err == f"error: run {first}: its MLflow is gone\n"
    third = ended()
    told = linnet("runs", "mirror", status=1)
    assert told == f"run {first}: its MLflow is gone" and mirrored == [second, third]


def test_damaged_record_is_told_and_keeps_no_other_from_mlflow(
    mirrored: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    damaged, whole = ended(), ended()
    (runs.runs_dir() / damaged / "run.json").write_text("{")
    assert run_mirror.main() == 0 and mirrored == [whole]
    assert f"run {damaged} is passed over" in caplog.text


def test_engine_that_is_stopped_ends_its_mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.runs_dir().mkdir(parents=True)
    mirror = MlflowSync(tmp_path / "mirror.log")
    with (runs.runs_dir() / ".mirror").open("w") as working:
        fcntl.flock(working, fcntl.LOCK_EX)  # so that it waits
        mirror.start()
        (process,) = mirror._processes
        assert process.poll() is None
        mirror.stop()
    assert process.returncode == -9
