"""A new task is a folder and a word: the one of docs/extending.md goes through the whole life cycle."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.test_extending import ROOT, SECTIONS, apply


@pytest.mark.slow
def test_task_of_a_folder_and_a_word_lives_through_the_life_cycle(tmp_path: Path) -> None:
    copy, home = tmp_path / "copy", tmp_path / "home"
    for name in ("linnet", "feature_repo"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    home.mkdir()
    diff = re.search(r"```diff\n(.*?)```", SECTIONS["A task"], re.S)
    assert diff is not None
    changed = apply(diff[1], copy)
    assert {name for name in changed if not name.startswith("linnet/tasks/count/")} == {
        "linnet/config/data.py"
    }
    program = Path(__file__).with_name("count_life.py")
    path = os.pathsep.join((str(copy), str(ROOT)))
    done = subprocess.run(
        [sys.executable, "-c", f"import runpy, sys; sys.argv[1:] = [{str(home)!r}]; "
         f"runpy.run_path({str(program)!r}, run_name='__main__')"],
        cwd=copy, env={**os.environ, "PYTHONPATH": path, "LINNET_HOME": str(home / "state")},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3_000:]
