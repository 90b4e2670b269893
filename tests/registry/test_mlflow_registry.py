"""The real MLflow on SQLite: what a version shows, once-only registration, and kills in between."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linnet.errors import RegistryError, StorageError
from linnet.registry.mlflow_registry import MlflowRegistry
from linnet.registry.protocol import package_digest
from tests.registry.conftest import Submit
from tests.registry.forked import kill_self, start, wait


class DiesAfter:
    """The client of a registry, killing the process after its n-th call."""

    def __init__(self, client: Any, calls: int) -> None:
        self._real, self._left = client, calls

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            result = getattr(self._real, name)(*args, **kwargs)
            self._left -= 1
            if self._left <= 0:
                kill_self()
            return result

        return call


def client_of(registry: MlflowRegistry) -> Any:
    return registry._mlflow


@pytest.mark.parametrize("name", ["bob's net", 'the "net"', """bob's "net\"""", "x' or name = 'tiny"])
def test_name_with_quotes_is_found_and_hides_no_other_model(
    database: Path, submit: Submit, name: str
) -> None:
    """One such model of a colleague's in a shared registry made the page of all models an error."""
    local = MlflowRegistry()
    local.register(submit())
    client_of(local).create_registered_model(name)
    client_of(local).create_model_version(name, "file:///nowhere", None)
    for registry in (local, MlflowRegistry(f"sqlite:///{database}")):
        assert name in registry.models()
        assert [(one.name, one.version) for one in registry.versions(name)] == [(name, "1")]
        assert [one.name for one in registry.versions("tiny")] == ["tiny"]


def test_version_carries_run_params_metrics_signature_and_evidence(database: Path, submit: Submit) -> None:
    import mlflow

    registry, submission = MlflowRegistry(), submit()
    version = registry.register(submission)
    assert (version.name, version.version, version.aliases) == ("tiny", "1", ())
    assert version.metrics == {"accuracy": 0.9, "macro_f1": 0.9}
    assert version.tags["commit"] == "abc"
    assert version.tags["package_digest"] == package_digest(submission.package)
    client = client_of(registry)
    run = client.get_run(version.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"train.epochs": "3", "train.seed": "0"}
    history = client.get_metric_history(version.run_id, "validation_accuracy")
    assert [(row.step, row.value) for row in history] == [(1, 0.75), (2, pytest.approx(0.8)), (3, 0.85)]
    shown = {item.path for item in client.list_artifacts(version.run_id, "evaluation")}
    assert shown == {"evaluation/evaluation.json", "evaluation/gates.json", "evaluation/report.html"}
    described = mlflow.models.Model.load(str(registry.package_folder("tiny", "1")))
    assert described.get_input_schema().input_names() == ["image", "features"]
    assert described.get_output_schema().input_names() == ["probabilities", "embedding"]


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")  # MLflow, of its own classes
def test_version_loads_with_pyfunc_and_stays_intact(database: Path, submit: Submit) -> None:
    import mlflow

    registry, submission = MlflowRegistry(), submit()
    registry.register(submission)
    mlflow.set_tracking_uri(f"sqlite:///{database}")
    try:
        model = mlflow.pyfunc.load_model("models:/tiny/1")
    finally:
        mlflow.set_tracking_uri(None)
    with np.load(submission.package / "golden.npz") as golden:
        answer = model.predict({"image": golden["images"], "features": golden["features"]})
        np.testing.assert_allclose(answer["probabilities"], golden["probabilities"], atol=1e-5)
    assert package_digest(registry.package_folder("tiny", "1")) == package_digest(submission.package)


def test_same_package_registered_twice_is_one_version(database: Path, submit: Submit) -> None:
    first = MlflowRegistry().register(submit())
    assert MlflowRegistry().register(submit()) == first
    assert MlflowRegistry().register(submit(50.0)).version == "2"
    assert [version.version for version in MlflowRegistry().versions("tiny")] == ["2", "1"]


@pytest.mark.slow
def test_registration_killed_after_any_call_is_completed_once(database: Path, submit: Submit) -> None:
    """A kill -9 after each call in turn; the next attempt leaves one run, one model and one version."""
    client_of(MlflowRegistry()).search_experiments()  # warm: a child starts with what is here
    for calls in range(1, 60):
        model = f"model-{calls}"
        status = wait(start(lambda model=model, calls=calls: _register_dying(submit, model, calls)))
        registry = MlflowRegistry()
        version = registry.register(submit(model=model))
        assert version.version == "1" and len(registry.versions(model)) == 1, calls
        client = client_of(registry)
        experiment = client.get_experiment_by_name(model).experiment_id
        runs = client.search_runs([experiment])
        assert [run.info.status for run in runs] == ["FINISHED"], calls
        assert len(client.search_logged_models([experiment])) == 1, calls
        assert len(client.get_metric_history(version.run_id, "loss")) == 3, calls
        assert package_digest(registry.package_folder(model, "1")) == package_digest(submit().package), calls
        if status == 0:
            assert calls > 10  # otherwise nothing was killed
            return
        assert status == -signal.SIGKILL, calls
    raise AssertionError("registration never came to its end")


def _register_dying(submit: Submit, model: str, calls: int) -> int:
    registry = MlflowRegistry()
    registry._client = DiesAfter(client_of(registry), calls)
    registry.register(submit(model=model))
    return 0


def test_package_changed_in_the_store_is_refused(database: Path, submit: Submit) -> None:
    registry = MlflowRegistry()
    registry.register(submit())
    stored = registry.package_folder("tiny", "1") / "model.onnx"
    stored.write_bytes(stored.read_bytes() + b"x")
    with pytest.raises(StorageError, match="was changed"):
        registry.package_folder("tiny", "1")


def test_empty_registry_answers_without_making_a_database(state: Path) -> None:
    registry = MlflowRegistry()
    assert (registry.models(), registry.versions("tiny"), registry.alias("tiny", "champion")) == (
        [],
        [],
        None,
    )
    assert not state.exists()


def test_unknown_version_is_a_registry_error(database: Path, submit: Submit) -> None:
    registry = MlflowRegistry()
    registry.register(submit())
    with pytest.raises(RegistryError, match="not found"):
        registry.set_alias("tiny", "champion", "7")
    with pytest.raises(RegistryError, match="not found"):
        registry.package_folder("tiny", "7")


def test_damaged_database_is_named_with_a_remedy(state: Path) -> None:
    (state / "mlflow").mkdir(parents=True)
    (state / "mlflow" / "mlflow.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(StorageError, match=r"mlflow\.db: this database is damaged.*linnet restore"):
        MlflowRegistry().models()


@pytest.mark.slow
def test_first_use_killed_amid_migrations_leaves_nothing_in_the_way(state: Path, submit: Submit) -> None:
    def killed() -> int:
        import sqlalchemy

        statements: list[str] = []

        def count(*arguments: Any) -> None:
            statements.append(arguments[2])
            if len(statements) == 150:  # amid the migrations, which are some hundred statements
                kill_self()

        sqlalchemy.event.listen(sqlalchemy.engine.Engine, "before_cursor_execute", count)
        MlflowRegistry().register(submit())
        return 0

    assert wait(start(killed)) == -signal.SIGKILL
    assert not (state / "mlflow" / "mlflow.db").exists()
    assert MlflowRegistry().register(submit()).version == "1"
