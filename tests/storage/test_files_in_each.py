"""Files below folders: one that may not be looked at is not passed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.artifacts.windows import MANIFEST, all_windows, windows_dir
from linnet.errors import StorageError
from linnet.monitoring.evidence import ServedChampion, gather_evidence
from linnet.monitoring.history import history_folder
from linnet.monitoring.recent import LabelledWindow
from linnet.records import now
from linnet.storage.files import files_in_each


def unreadable(path: Path) -> Path:
    """A folder that nobody may look into, root neither: a link that leads to itself."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(path.name)
    return path


def test_file_that_nobody_may_look_at_is_listed_and_what_is_not_there_is_not(tmp_path: Path) -> None:
    assert files_in_each(tmp_path / "none", "a.json") == []
    (tmp_path / "b").mkdir()
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "a.json").touch()
    (tmp_path / "file").touch()
    hidden = unreadable(tmp_path / "a")
    assert files_in_each(tmp_path, "a.json") == [hidden / "a.json", tmp_path / "c" / "a.json"]
    with pytest.raises((StorageError, OSError)):
        files_in_each(hidden, "a.json")


def test_window_of_production_that_cannot_be_read_is_no_window_less(state: Path) -> None:
    """A glob passed over it: its images left training and the regression sets without a word."""
    whole = windows_dir("shop") / "20260101T000000-a"
    whole.mkdir(parents=True)
    (whole / MANIFEST).touch()
    hidden = unreadable(windows_dir("shop") / "20260102T000000-b")
    assert [window.folder for window in all_windows("shop")] == [whole, hidden]


def test_drift_that_cannot_be_read_is_counted_by_the_policy(state: Path) -> None:
    unreadable(history_folder("shop", "1") / "20260101T000000")
    found = gather_evidence(ServedChampion("shop", "1", now()), (), LabelledWindow([]))
    assert (found.windows, found.unread_windows) == ((), 1)
