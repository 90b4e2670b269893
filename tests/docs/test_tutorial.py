"""The tutorial's commands, typed one after the other into a shell, in a folder of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
BLOCKS = re.findall(r"```sh\n(.*?)```", (DOCS / "tutorial.md").read_text("utf-8"), re.S)


@pytest.mark.proof
@pytest.mark.timeout(1500)
def test_tutorial_ends_with_the_first_champion_again(tmp_path: Path) -> None:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "LINNET_HOME": str(tmp_path / "state"), "COLUMNS": "200"}
    script = "set -euo pipefail\n" + "\n".join(BLOCKS)
    done = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert "is the champion again" in done.stdout
    champions = [line for line in done.stdout.splitlines() if "champion" in line and "│ digits" in line]
    assert champions[-1].split("│")[2].strip() == "1"
    assert "<h2" in (tmp_path / "report.html").read_text("utf-8")


def test_pages_link_only_to_what_is_there() -> None:
    for page in DOCS.glob("*.md"):
        prose = re.sub(r"`[^`\n]*`", "", page.read_text("utf-8"))  # patterns may look like links
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", prose):
            if not target.startswith("http"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"
