"""Other users of the machine and the state folder."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from linnet.errors import StorageError
from linnet.storage.files import replacing
from linnet.storage.private import close_to_others, close_tree, make_private
from linnet.storage.secret_file import secret_in, write_secret

ROOT = Path(__file__).parents[2]
is_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_folder_is_made_private_and_an_open_one_is_closed(tmp_path: Path) -> None:
    make_private(tmp_path / "a" / "state")
    assert mode(tmp_path / "a" / "state") == 0o700
    (tmp_path / "old").mkdir()
    (tmp_path / "old").chmod(0o777)
    close_to_others(tmp_path / "old")
    assert mode(tmp_path / "old") == 0o700
    close_to_others(tmp_path / "nowhere")


@is_root
def test_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)
    with pytest.raises(StorageError, match=r"belongs to user 65534.*LINNET_HOME"):
        close_to_others(tmp_path)


@is_root
@pytest.mark.slow
@pytest.mark.parametrize("command", [("runs", "list"), ("models", "list")])
def test_command_closes_the_state_folder_of_an_older_version(command: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is closed to others
        _is_closed_by(command, Path(folder))


def _is_closed_by(command: tuple[str, ...], tmp_path: Path) -> None:
    state = tmp_path / "state"
    (state / "engine").mkdir(parents=True)
    (state / "engine" / "engine.db").write_text("labels of people")
    for folder in (tmp_path, state, state / "engine"):
        folder.chmod(0o755)
    read = ["/bin/cat", str(state / "engine" / "engine.db")]
    assert subprocess.run(read, user=65534, group=65534, capture_output=True).returncode == 0
    words = [sys.executable, "-m", "linnet", *command]
    environment = {**os.environ, "LINNET_HOME": str(state), "PYTHONPATH": str(ROOT)}
    subprocess.run(words, env=environment, capture_output=True, cwd=tmp_path, timeout=120)
    assert subprocess.run(read, user=65534, group=65534, capture_output=True).returncode != 0


@is_root
@pytest.mark.slow
def test_what_a_command_made_is_closed_when_it_ends(tmp_path: Path) -> None:
    environment = {**os.environ, "LINNET_HOME": str(tmp_path / "state"), "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "linnet", "keys", "create", "ci"]
    done = subprocess.run(words, env=environment, capture_output=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stderr
    assert mode(tmp_path / "state") == 0o700


def test_link_among_folders_that_are_written_is_refused(tmp_path: Path) -> None:
    """`.linnet/dvc-site` was 0777: another user replaced a folder by a link that was then written through."""
    site = tmp_path / "dvc-site"
    (site / "repo").mkdir(parents=True)
    for folder in (site, site / "repo"):
        folder.chmod(0o777)
    close_tree(site)
    assert mode(site) == mode(site / "repo") == 0o700
    (tmp_path / "elsewhere").mkdir()
    (site / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="lock is a link"):
        close_tree(site)
    with pytest.raises(StorageError, match="is a link"):
        (tmp_path / "linked").symlink_to(site)
        close_tree(tmp_path / "linked")


@pytest.mark.slow
def test_commit_of_dvc_leaves_no_folder_that_others_can_write(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.txt").write_text("a")
    environment = {**os.environ, "LINNET_HOME": str(tmp_path / "state"), "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "linnet.labels.dvc_commit", str(tmp_path), str(tmp_path / "images")]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    made = [path for path in (tmp_path / "state").rglob("*") if path.is_dir()]
    assert made and not [path for path in made if mode(path) & 0o022]


def test_scratch_file_cannot_be_guessed_and_laid_as_a_link(tmp_path: Path) -> None:
    names = set()
    for _ in range(3):
        with replacing(tmp_path / "file") as scratch:
            names.add(scratch.name)
            scratch.write_text("x")
    assert len(names) == 3


def test_secret_is_made_once_and_read_only_where_nobody_else_could(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    made = secret_in(path)
    assert secret_in(path) == made and mode(path) == 0o600 and list(tmp_path.iterdir()) == [path]
    path.chmod(0o640)
    with pytest.raises(StorageError, match="other users may read"):
        secret_in(path)
    path.unlink()
    (tmp_path / "theirs").write_text("a-secret-that-somebody-knows")
    path.symlink_to(tmp_path / "theirs")
    with pytest.raises(StorageError, match="cannot be read"):
        secret_in(path)
    path.unlink()
    write_secret(path, "short")
    with pytest.raises(StorageError, match="no secret of 16"):
        secret_in(path)
