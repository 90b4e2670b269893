"""Rules of the house that no linter knows."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("linnet", "components", "pipelines", "feature_repo", "tests", "benchmarks")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_module_has_at_most_400_lines(path: Path) -> None:
    assert len(path.read_text("utf-8").splitlines()) <= 400


def test_step_folders_load_nothing_by_themselves() -> None:
    for path in (ROOT / "linnet").glob("*/__init__.py"):
        assert path.read_text("utf-8").strip() == "", f"{path} must stay empty"


def test_components_are_thin() -> None:
    for path in (ROOT / "components").glob("[a-z]*.py"):
        assert len(path.read_text("utf-8").splitlines()) <= 70, f"{path.name} does more than translate"
