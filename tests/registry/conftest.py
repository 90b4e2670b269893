"""Submissions of tiny real packages, and a state folder with a migrated MLflow database."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from linnet.records import GateDecision
from linnet.registry.protocol import Submission
from tests.packaging.folders import Folders, make_folders
from tests.serving.packages import make_package

Submit = Callable[..., Submission]


@pytest.fixture(scope="session")
def steps(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    return make_folders(tmp_path_factory.mktemp("steps"))


@pytest.fixture
def submit(tmp_path: Path, steps: Folders) -> Submit:
    """`submit(sharpness, model=...)`: another sharpness is another package."""

    def make(sharpness: float = 60.0, model: str = "tiny") -> Submission:
        package = tmp_path / f"package-{sharpness}"
        if not package.exists():
            make_package(package, sharpness=sharpness)
            GateDecision(stage="package", verdict="pass", gates=()).save(package / "gates.json")
        return Submission(
            model=model, package=package, evaluation=steps.evaluation, training=steps.model,
            config={"train": {"epochs": 3, "seed": 0}}, tags={"gate_verdict": "pass", "commit": "abc"},
        )  # fmt: skip

    return make


@pytest.fixture
def database(state: Path, migrated: Path) -> Path:
    (state / "mlflow").mkdir(parents=True)
    return Path(shutil.copy(migrated, state / "mlflow" / "mlflow.db"))
