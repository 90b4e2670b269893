"""A label set is cut into the project around the current folder: in tests never into this repository."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Works in a folder that no DVC project is around."""
    monkeypatch.chdir(tmp_path)
