"""Environments and imports are swept by last use, and never under a task that works in them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from linnet.runner.sweep import SharedFolder, remove, shared_folders, to_drop


def folder(name: str, size: int, unused: float, used_by: str = "") -> SharedFolder:
    return SharedFolder(Path("/x/environments") / name, size, unused, used_by)


def test_unused_for_too_long_go_and_used_ones_stay() -> None:
    folders = [folder("a", 5, 90), folder("b", 5, 80, "a task works in it"), folder("c", 5, 10)]
    assert [each.path.name for each in to_drop(folders, 50, float("inf"))] == ["a"]


def test_least_recently_used_go_until_the_rest_fits() -> None:
    folders = [
        folder("a", 5, 9),
        folder("b", 5, 8, "a run is under way"),
        folder("c", 5, 7),
        folder("d", 5, 6),
    ]
    assert [each.path.name for each in to_drop(folders, 1e9, 10)] == ["a", "c"]
    assert to_drop(folders, 1e9, 20) == []


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path))
    for kind in ("environments", "imports"):
        for name, age in (("old", 40), ("new", 1)):
            made = tmp_path / kind / name
            made.mkdir(parents=True)
            (made / "file").write_bytes(b"x" * 1000)
            os.utime(made, (time.time() - age * 86400,) * 2)
    (tmp_path / "imports" / "index").mkdir()
    return tmp_path


def test_folders_are_found_with_their_last_use_and_the_index_is_none(home: Path) -> None:
    found = shared_folders(under_way=False)
    assert [each.path.name for each in found] == ["old", "old", "new", "new"]
    assert {each.size for each in found} == {1000} and not any(each.used_by for each in found)
    used = {each.path.parent.name for each in shared_folders(under_way=True) if each.used_by}
    assert used == {"imports"}


def test_environment_of_a_living_program_stays(home: Path) -> None:
    """The lock goes through `exec` with the program, as a task's does."""
    script = (
        "import os, pathlib, sys; from linnet.runner.sweep import keep; keep(pathlib.Path(sys.argv[1])); "
        "os.execv('/bin/sh', ['sh', '-c', 'echo up; read line'])"
    )
    words = [sys.executable, "-c", script, str(home / "environments" / "old")]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout and program.stdout.readline() == "up\n"
        (old,) = [each for each in shared_folders(False) if each.name == "environments/old"]
        assert old.used_by == "a task works in it"
        assert not remove(old) and old.path.exists()
        program.communicate("go\n")
    (old,) = [each for each in shared_folders(False) if each.name == "environments/old"]
    assert remove(old) and not old.path.exists()


def test_gc_drops_old_folders_and_a_dry_run_none(home: Path) -> None:
    from linnet.commands.cache import app

    told = CliRunner().invoke(app, ["gc", "--days", "30", "--dry-run"])
    assert told.exit_code == 0 and "would drop environments/old: 0.0 MB, unused for 960.0 h" in told.output
    assert (home / "environments" / "old").exists()
    told = CliRunner().invoke(app, ["gc", "--days", "30"])
    assert "dropped imports/old" in told.output, told.output
    assert sorted(path.name for path in (home / "environments").iterdir() if path.is_dir()) == ["new"]
    assert sorted(path.name for path in (home / "imports").iterdir() if path.is_dir()) == ["index", "new"]
