"""Rules of the house that no linter knows."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent
FOLDERS = ("linnet", "components", "pipelines", "feature_repo", "tests", "benchmarks")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def test_modules_have_at_most_400_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text("utf-8").splitlines()) for path in MODULES}
    assert len(lengths) > 100
    assert {path: length for path, length in lengths.items() if length > 400} == {}


def test_step_folders_load_nothing_by_themselves() -> None:
    for path in (ROOT / "linnet").glob("*/__init__.py"):
        if path.parent.name in ("config", "records"):  # not steps: one vocabulary, kept in several files
            continue
        assert path.read_text("utf-8").strip() == "", f"{path} must stay empty"


def test_components_are_thin() -> None:
    for path in (ROOT / "components").glob("[a-z]*.py"):
        assert len(path.read_text("utf-8").splitlines()) <= 70, f"{path.name} does more than translate"
