"""What every test has: a state folder of its own, and a way to ask for a Debian package."""

from __future__ import annotations

import gc
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest


def pytest_collection_finish() -> None:
    """What test files imported stays: no later collection of garbage need go through it."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that no worker is left alone with a long one at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state folder that no other test sees."""
    home = tmp_path / "state"
    monkeypatch.setenv("LINNET_HOME", str(home))
    for name in ("LINNET_RUN_DIR", "LINNET_RUN_ID", "LINNET_DRY_RUN", "LINNET_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new MLflow database; migrating takes seconds, so tests start from a copy."""
    from linnet.registry.mlflow_database import create_database

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of MLflow, about its own parts
        create_database(path)
    return path


@pytest.fixture(scope="session")
def debian() -> Callable[[str, str], str]:
    """`debian(package, program)`: the program's path; without it the test is skipped, and says why.

    CI sets LINNET_REQUIRE_DEBIAN, so that there a missing package is a failure.
    """

    def need(package: str, program: str) -> str:
        found = shutil.which(program)
        if found is None:
            reason = f"needs the Debian package {package} (no `{program}` here)"
            if os.environ.get("LINNET_REQUIRE_DEBIAN"):
                pytest.fail(reason)
            pytest.skip(reason)
        return found

    return need
