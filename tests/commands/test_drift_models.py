"""`linnet drift simulate` and `skew audit` with several models: each asks for what is of its own model."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from linnet.cli import app
from linnet.commands import drift_simulate
from linnet.errors import DataError, RegistryError
from linnet.features import skew
from linnet.process.model_server import ServerState
from linnet.records import RunRecord, RunRequest
from linnet.run.runs import runs_dir
from linnet.storage.paths import prediction_log_dir, server_state_file
from tests.commands.test_cache_commands import linnet
from tests.monitoring import conftest
from tests.monitoring.conftest import Serve, pictures

trained, registered, serve = conftest.champion, conftest.registered, conftest.serve


@pytest.fixture
def runs(state: Path) -> Path:
    """A run of fashion, and a later one of digits; each made a training set. One of hands did not."""
    for hour, model in enumerate(("fashion", "digits", "hands")):
        folder = runs_dir() / f"{model}-20260101-1{hour}0000-aaaa"
        RunRecord(
            run_id=folder.name, pipeline="training", config={"name": model}, commit="", state="succeeded",
            started_at=datetime(2026, 1, 1, hour, tzinfo=UTC), request=RunRequest(cause="person", actor="a"),
        ).save(folder / "run.json")  # fmt: skip
        if model != "hands":
            made = folder / "build-features" / "training_set"
            made.mkdir(parents=True)
            (made / "training_set.json").write_text("{}")
    return state


@pytest.mark.parametrize(("asked", "found"), [("fashion", "fashion"), ("digits", "digits"), ("", "digits")])
def test_pictures_are_of_the_newest_run_of_the_model_that_is_asked(
    runs: Path, asked: str, found: str
) -> None:
    """Issue 14: with fashion served and digits run last, digits were sent to the fashion model."""
    assert found in str(drift_simulate._training_set(asked).relative_to(runs))


def test_model_whose_training_set_is_not_here_is_not_given_another_s(runs: Path) -> None:
    with pytest.raises(DataError, match="hands: no run here made a training set of it"):
        drift_simulate._training_set("hands")


@pytest.mark.parametrize("more", [[], ["--feedback"], ["--dry-run"]])
def test_which_of_several_served_models_is_meant_is_not_guessed_from_the_newest_run(
    runs: Path, more: list[str]
) -> None:
    """Issue 14: the model of the newest run was sent the images, and with --feedback the labels."""
    server_state_file().parent.mkdir(parents=True)
    served = ServerState.of(os.getpid(), "http://127.0.0.1:1", "token", ["fashion", "digits"])
    served.write(server_state_file())
    told = CliRunner().invoke(app, ["drift", "simulate", "--kind", "blur", *more]).exception
    assert isinstance(told, RegistryError)
    assert "several models are served (fashion, digits): name one with --name" in str(told)


@pytest.fixture
def champion(trained: Path, tmp_path: Path) -> Path:
    """The package of use case `photos`, which is registered, and served, as `tiny`."""
    folder = Path(shutil.copytree(trained, tmp_path / "champion"))
    about = json.loads((folder / "package.json").read_text())
    (folder / "package.json").write_text(json.dumps(about | {"name": "photos"}))
    return folder


@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_audit_looks_into_the_store_of_the_use_case_whatever_its_model_is_called(
    registered: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    prediction_log_dir().parent.mkdir(parents=True, exist_ok=True)
    prediction_log_dir().symlink_to(serve(pictures(20, 3)))
    opened = []

    class Store(skew.FeatureStore):
        def __init__(self, name: str) -> None:
            opened.append(name)
            super().__init__(name)

    monkeypatch.setattr(skew, "FeatureStore", Store)
    assert "20 by kept images" in linnet("skew", "audit") and opened == ["photos"]
