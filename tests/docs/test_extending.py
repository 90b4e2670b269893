"""docs/extending.md is true: each section applies to the code as it is, and its check holds after that."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "extending.md").read_text("utf-8")
SECTIONS: dict[str, str] = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S))


def apply(diff: str, root: Path) -> set[str]:
    """Applies a unified diff whose hunks name no lines: what a hunk keeps must stand there exactly once."""
    changed = set()
    for part in re.split(r"^--- .*\n(?=\+\+\+)", diff, flags=re.M)[1:]:
        head, *hunks = re.split(r"^@@\n", part, flags=re.M)
        name = head.removeprefix("+++ b/").strip()
        path = root / name
        text = path.read_text("utf-8") if path.exists() else ""
        for hunk in hunks:
            lines = hunk.splitlines(keepends=True)
            before = "".join(line[1:] for line in lines if line[0] != "+")
            after = "".join(line[1:] for line in lines if line[0] != "-")
            if before:
                assert text.count(before) == 1, f"{name} has no such place, or several:\n{before}"
                text = text.replace(before, after)
            else:
                assert not text, f"{name} is there already"
                text = after
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        changed.add(name)
    return changed


@pytest.mark.slow
@pytest.mark.parametrize("title", SECTIONS)
def test_section_can_be_followed(title: str, tmp_path: Path) -> None:
    for name in ("linnet", "components", "pipelines", "tests/evaluation", "configs"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.onnx"))
    diff = re.search(r"```diff\n(.*?)```", SECTIONS[title], re.S)
    check = re.search(r"```python check\n(.*?)```", SECTIONS[title], re.S)
    assert diff is not None and check is not None
    changed = apply(diff[1], tmp_path)
    stated = re.search(rf"\| {title[0].lower()}{title[1:]} \| (\d+)", TEXT)
    assert stated is not None and len(changed) == int(stated[1])
    program = f"import sys; sys.path[0:0] = [{str(tmp_path)!r}]\n{check[1]}"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2_000:]


def test_check_fails_without_the_change() -> None:
    check = re.search(r"```python check\n(.*?)```", SECTIONS["A metric"], re.S)
    assert check is not None
    done = subprocess.run([sys.executable, "-c", check[1]], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0 and "top2" in done.stderr


def test_table_names_every_section() -> None:
    rows = re.findall(r"^\| (an? .*?) \|", TEXT, re.M)
    assert {row.lower() for row in rows} >= {title.lower() for title in SECTIONS}
