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
