"""Reading MLflow's file gives what MLflow gives; with a file of another version MLflow is asked."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from linnet.registry.mlflow_registry import MlflowRegistry
from tests.registry.conftest import Submit


def slow(registry: MlflowRegistry) -> MlflowRegistry:
    """The same registry, asked through MLflow alone."""
    registry.__dict__["_file"] = None
    return registry


def answers(registry: MlflowRegistry) -> list[Any]:
    models = registry.models()
    found: list[Any] = [models, registry.versions("none"), registry.alias("none", "champion")]
    for model in models:
        versions = registry.versions(model)
        found += [versions, registry.alias(model, "champion"), registry.alias(model, "challenger")]
        found += [registry.package_folder(model, version.version) for version in versions]
    return found


def test_every_answer_is_mlflows_own(database: Path, submit: Submit) -> None:
    registry = MlflowRegistry()
    first = registry.register(submit())
    registry.register(submit(90.0))
    registry.register(submit(90.0, model="other"))
    registry.register(submit(120.0))
    registry.set_alias("tiny", "champion", "1")
    registry.set_alias("tiny", "challenger", "2")
    with registry.client() as client:
        client.log_metric(first.run_id, "test_infinite", -math.inf)
        client.log_metric(first.run_id, "tester", 1.0)
        client.set_model_version_tag("tiny", "2", "note", "two\nlines")
        client.delete_model_version("tiny", "3")
    assert MlflowRegistry()._file is not None, "of a version that is not known here: look at MIGRATION"
    read = answers(MlflowRegistry())
    for mine, own in zip(read, answers(slow(MlflowRegistry())), strict=True):
        assert mine == own
    assert [version.version for version in read[3]] == ["1"] and read[0] == ["other", "tiny"]
    with registry.client() as client:
        client.log_metric(first.run_id, "test_lost", math.nan)
    (value,) = [v.metrics["lost"] for v in MlflowRegistry().versions("tiny") if v.version == "1"]
    assert math.isnan(value)


def test_a_file_of_another_version_is_left_to_mlflow(database: Path) -> None:
    connection = sqlite3.connect(database)
    connection.execute("UPDATE alembic_version SET version_num = 'another'")
    connection.commit()
    connection.close()
    assert MlflowRegistry()._file is None


def test_looking_does_not_import_mlflow(database: Path, submit: Submit, state: Path) -> None:
    MlflowRegistry().register(submit())
    MlflowRegistry().set_alias("tiny", "champion", "1")
    program = (
        "import sys; from linnet.registry.mlflow_registry import MlflowRegistry as R; r = R()\n"
        "assert r.alias('tiny', 'champion') == '1' and r.versions('tiny') and r.package_folder('tiny', '1')\n"
        "assert 'mlflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=150)


@pytest.mark.parametrize("broken", [b"", b"no database at all"])
def test_a_damaged_file_is_not_read_around(state: Path, broken: bytes) -> None:
    (state / "mlflow").mkdir(parents=True)
    (state / "mlflow" / "mlflow.db").write_bytes(broken)
    assert MlflowRegistry()._file is None
