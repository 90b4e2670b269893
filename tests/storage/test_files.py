from __future__ import annotations

import errno
from pathlib import Path

import pytest

from linnet.errors import StorageError
from linnet.storage.files import file_name, replacing, translate_storage, write_text, writing


def test_replacing_shows_the_new_file_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "made" / "x.json"
    write_text(path, "old")
    with replacing(path) as scratch:
        scratch.write_text("ne")
        assert path.read_text() == "old"
        scratch.write_text("new")
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_replacing_after_an_error_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_text(path, "old")
    with pytest.raises(ValueError, match="amid"), replacing(path) as scratch:
        scratch.write_text("ne")
        raise ValueError("amid")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_write_text_over_a_hard_link_leaves_the_other_name_alone(tmp_path: Path) -> None:
    cached, shown = tmp_path / "cached", tmp_path / "shown"
    cached.write_text("cached")
    shown.hardlink_to(cached)
    write_text(shown, "new")
    assert (cached.read_text(), shown.read_text()) == ("cached", "new")


def test_translate_storage_full_disk_says_what_to_do() -> None:
    translated = translate_storage(OSError(errno.ENOSPC, "No space left on device", "/x"))
    assert isinstance(translated, StorageError)
    assert "free some space" in str(translated)
    other = OSError(errno.ENOENT, "gone")
    assert translate_storage(other) is other


def test_writing_names_the_folder_and_lets_other_errors_pass() -> None:
    with (
        pytest.raises(StorageError, match=r"^out: Permission denied; change its permissions"),
        writing(Path("out")),
    ):
        raise PermissionError(errno.EACCES, "Permission denied", "out/x")
    with pytest.raises(FileNotFoundError), writing(Path("out")):
        raise FileNotFoundError(errno.ENOENT, "gone")


@pytest.mark.parametrize(("name", "safe"), [("fashion_1-b", "fashion_1-b"), ("../a b.c", "___a_b_c")])
def test_file_name_cannot_leave_its_folder(name: str, safe: str) -> None:
    assert file_name(name) == safe
