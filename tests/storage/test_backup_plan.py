"""A backup never leaves a folder out because it cannot be read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from linnet.errors import StorageError
from linnet.storage.backup import plan_backup


def test_unreadable_folder_stops_the_plan_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so that the system call itself refuses here."""
    (tmp_path / "runs" / "closed").mkdir(parents=True)
    (tmp_path / "runs" / "closed" / "run.json").write_text("{}")
    assert [path.name for path in plan_backup(tmp_path).files] == ["run.json"]
    scandir = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.raises(StorageError, match=r"runs/closed: the folder cannot be read \(Permission denied\)"):
        plan_backup(tmp_path)


@pytest.mark.parametrize("name", ["clock", "lock", "my-journal", "token", "secrets", "venv", "keys.json"])
def test_use_case_with_the_name_of_a_left_out_file_is_backed_up(tmp_path: Path, name: str) -> None:
    wanted = [
        f"labels/{name}/rounds.txt",
        f"mlflow/artifacts/{name}/1/model.onnx",
        f"monitoring/{name}/1/d.json",
    ]
    for place in wanted:
        (tmp_path / place).parent.mkdir(parents=True)
        (tmp_path / place).write_text("{}")
    plan = plan_backup(tmp_path)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in plan.files) == wanted
    assert plan.left_out == {}


def test_files_of_processes_secrets_and_environments_stay(tmp_path: Path) -> None:
    (tmp_path / "label-studio" / "venv").mkdir(parents=True)
    for place in ("runs", "rollouts", "secrets", "engine"):
        (tmp_path / place).mkdir()
    of_processes = ("runs/lock", "rollouts/clock.turn", "rollouts/clock.lock", "engine/db-journal")
    for place in (*of_processes, "engine/token", "secrets/s3", "label-studio/venv/pyvenv.cfg"):
        (tmp_path / place).write_text("1")
    plan = plan_backup(tmp_path)
    assert plan.files == [] and sum(plan.left_out.values()) == 7, plan
    with_keys = {
        path.relative_to(tmp_path).as_posix() for path in plan_backup(tmp_path, with_keys=True).files
    }
    assert with_keys == {"engine/token", "secrets/s3"}


def test_links_that_lead_out_are_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "labels").mkdir(parents=True)
    (home / "labels" / "pets").symlink_to(tmp_path)
    assert plan_backup(home).links_out == [home / "labels" / "pets"]
