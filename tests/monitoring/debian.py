"""Programs that Debian packages bring: a test without them is skipped with the reason, or fails in CI."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest


def program(name: str, package: str) -> str:
    """The path of a program; skips the test (fails it where CI installed the packages) if it is missing."""
    found = shutil.which(name)
    if found is None:
        reason = f"{name} is missing: apt-get install {package}"
        if os.environ.get("LINNET_REQUIRE_DEBIAN") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


def run(words: list[str], folder: Path, timeout: float = 250) -> str:
    """What a program printed; its failure is the test's."""
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=timeout, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-4000:]
    return said
