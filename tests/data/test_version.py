from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from linnet.data.version import read_version
from linnet.errors import DataError

REPOSITORY = Path(__file__).resolve().parents[2]


def test_data_dvc_lists_files_that_add_up_to_its_digest() -> None:
    version = read_version(REPOSITORY / "data.dvc")
    assert version.digest == "5f974fc07a228533b94e96f0786e9bcc.dir"
    assert sum(file.size for file in version.origins.files) == 54_950_048
    assert len(version.origins.files) == 4


def test_read_version_list_disagrees_with_digest_is_refused(
    tmp_path: Path, files: dict[str, bytes], write_dvc: Callable[..., Path]
) -> None:
    path = write_dvc(tmp_path / "toy.dvc", files)
    one_digest = read_version(path).origins.files[0].md5
    path.write_text(path.read_text().replace(one_digest, "f" * 32))
    with pytest.raises(DataError, match=r"toy\.dvc: its meta\.linnet\.files add up to .* bring the list"):
        read_version(path)


def test_read_version_path_outside_dataset_is_refused(tmp_path: Path, write_dvc: Callable[..., Path]) -> None:
    path = write_dvc(tmp_path / "toy.dvc", {"../escape": b"x"})
    with pytest.raises(DataError, match=r"names '\.\./escape', outside the dataset"):
        read_version(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("outs: [", "is not a .dvc file"),
        ("a: 1", "is not a .dvc file"),
        ("outs:\n- path: x\n  md5: 5f974fc07a228533b94e96f0786e9bcc\n  hash: md5", "exactly one folder"),
        ("outs:\n- path: x\n  md5: 5f974fc07a228533b94e96f0786e9bcc.dir", "in the format of DVC 3"),
    ],
)
def test_read_version_other_content_is_one_clear_error(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.dvc"
    path.write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        read_version(path)
    assert "dvc add FOLDER" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_read_version_missing_file_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.dvc: no such file; set data\.location"):
        read_version(tmp_path / "none.dvc")


def test_read_version_git_revision_reads_the_old_file(
    tmp_path: Path, files: dict[str, bytes], write_dvc: Callable[..., Path], git: Callable[..., str]
) -> None:
    git(tmp_path, "init", "-q")
    old = read_version(write_dvc(tmp_path / "toy.dvc", files)).digest
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "old")
    new = read_version(write_dvc(tmp_path / "toy.dvc", {"a.bin": b"other"})).digest
    version = read_version(tmp_path / "toy.dvc", "HEAD")
    assert version.digest == old != new
    assert old.removesuffix(".dir") in version.folder.name


@pytest.mark.parametrize("revision", ["no-such-branch", "--output=x", "HEAD~99"])
def test_read_version_unknown_revision_is_one_clear_error(
    tmp_path: Path,
    files: dict[str, bytes],
    write_dvc: Callable[..., Path],
    git: Callable[..., str],
    revision: str,
) -> None:
    git(tmp_path, "init", "-q")
    write_dvc(tmp_path / "toy.dvc", files)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "only")
    with pytest.raises(DataError, match="git revision") as caught:
        read_version(tmp_path / "toy.dvc", revision)
    assert f"toy.dvc@{revision}" in str(caught.value)


def test_read_version_revision_without_the_file_says_so(
    tmp_path: Path, files: dict[str, bytes], write_dvc: Callable[..., Path], git: Callable[..., str]
) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "empty")
    with pytest.raises(DataError, match="that revision has no such file"):
        read_version(write_dvc(tmp_path / "toy.dvc", files), "HEAD")


def test_read_version_outside_git_says_so(
    tmp_path: Path, files: dict[str, bytes], write_dvc: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(DataError, match="does not lie in a git repository"):
        read_version(write_dvc(tmp_path / "toy.dvc", files), "HEAD")
