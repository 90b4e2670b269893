"""Fashion is served, and digits ran last: no page and no command takes the one for the other (issue 14)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from linnet.console.context import Context
from linnet.console.pages import data, overview, sample, try_it
from linnet.console.views import data as data_view
from linnet.records import DatasetManifest
from linnet.registry.champion import ModelRegistry
from linnet.registry.mlflow_registry import MlflowRegistry
from linnet.registry.protocol import Submission
from linnet.run.runs import runs_dir
from linnet.serving.champion_traffic import ServerTraffic
from linnet.storage.paths import server_state_file
from tests.console.records import BEGAN, run_record
from tests.console.test_sample_page import ID, dataset
from tests.packaging.folders import Folders
from tests.registry import conftest
from tests.serving.packages import make_package
from tests.serving.running import RunningServer, png, running

steps = conftest.steps
CLASSES = {"fashion": ("Coat", "Shirt", "Bag"), "digits": ("zero", "one", "two", "three")}


@pytest.fixture
def server(served: tuple[Path, RunningServer], monkeypatch: pytest.MonkeyPatch) -> RunningServer:
    """Both have a champion; the server has fashion alone; the newest run is of digits."""
    home, started = served
    monkeypatch.setenv("LINNET_HOME", str(home))
    return started


@pytest.fixture(scope="module")
def served(
    migrated: Path, steps: Folders, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, RunningServer]]:
    folder = tmp_path_factory.mktemp("several")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LINNET_HOME", str(folder / "state"))
        (folder / "state" / "mlflow").mkdir(parents=True)
        (folder / "state" / "mlflow" / "mlflow.db").write_bytes(migrated.read_bytes())
        registry = ModelRegistry(MlflowRegistry(), "ada@lab", traffic=ServerTraffic())
        for hour, (model, classes) in enumerate(CLASSES.items()):
            package = make_package(folder / model, name=model, classes=classes)
            name, began = f"{model}-20260101-1{hour}0000-aaaa", BEGAN + timedelta(hours=hour)
            run = run_record(name, config={"name": model}, started_at=began)
            run.save(runs_dir() / name / "run.json")
            registry.register(
                Submission(
                    model=model, package=package, evaluation=steps.evaluation, training=steps.model,
                    config={}, tags={"gate_verdict": "pass", "run": name},
                )
            )  # fmt: skip
            registry.promote(model, "1", None, override="by hand")
        with running(folder / "run", folder / "fashion", "1", "--name", "fashion", "--workers", "1") as one:
            server_state_file().parent.mkdir(parents=True, exist_ok=True)
            server_state_file().write_bytes(one.state_file.read_bytes())
            yield folder / "state", one


def test_overview_is_of_the_model_that_is_served_and_names_it(server: RunningServer) -> None:
    del server
    context = Context()
    found = overview.load(context, "")
    assert found.model == "fashion" and found.champion is not None and found.champion.name == "fashion"
    assert found.served.champion == "1" and not found.served.problem
    assert {run.model_name for run in found.runs} == {"fashion"}
    digits = overview.load(context, "digits")
    assert digits.model == "digits" and {run.model_name for run in digits.runs} == {"digits"}
    assert "serves fashion, not digits" in digits.served.problem and digits.log.requests == 0


def test_datasets_are_those_of_the_served_model_and_a_busy_one_hides_none(server: RunningServer) -> None:
    """The newest run's were shown first, and those of a model that ran twelve times showed no other's."""
    del server

    def reads(run: str, digest: str) -> None:
        DatasetManifest(
            name=run, digest=digest, revision="", classes=("a", "b"), counts={}, shards=(), rows=1, raw_rows=1,
            dropped_duplicates=0, dropped_leaks=0, dropped=(),
        ).save(runs_dir() / run / "ingest" / "samples" / "manifest.json")  # fmt: skip

    reads("fashion-20260101-100000-aaaa", "f")
    for number in range(12):
        run = f"digits-20260102-10{number:02d}00-aaaa"
        began = BEGAN + timedelta(days=1, minutes=number)
        run_record(run, config={"name": "digits"}, started_at=began).save(runs_dir() / run / "run.json")
        reads(run, str(number))
    context = Context()
    versions, unread = data.dataset_versions(context)
    assert not unread
    assert [manifest.digest for _, manifest in versions] == [*map(str, range(11, -1, -1)), "f"]
    assert data.default_run(context, [record for record, _ in versions]) == "fashion-20260101-100000-aaaa"
    shown = str(data_view.versions(versions, "fashion-20260101-100000-aaaa"))
    assert "fashion" in shown and "digits" in shown and "11 of 13 dataset versions" in shown
    for number in range(12):
        shutil.rmtree(runs_dir() / f"digits-20260102-10{number:02d}00-aaaa")


def test_image_that_several_models_read_is_shown_to_each_of_them(server: RunningServer) -> None:
    """The model of the newest run alone was asked, and nothing said so."""
    del server
    for number, model in enumerate(CLASSES):
        run, label = f"{model}-20260103-1{number}0000-aaaa", CLASSES[model][0]
        began = BEGAN + timedelta(days=2, hours=number)
        dataset(run, label, config={"name": model}, started_at=began)
    markup = str(sample.load(Context(), ID))
    assert 'href="/models/fashion/1"' in markup and 'href="/models/digits/1"' in markup
    assert "supports the answer of digits 1" in markup  # the model that read it last
    for model in CLASSES:
        shutil.rmtree(next(runs_dir().glob(f"{model}-20260103-*")))


def test_try_it_answers_by_the_model_that_it_names(server: RunningServer) -> None:
    del server
    context = Context()
    assert "fashion 1" in try_it.answer(context, png(8)) and "Coat" in try_it.answer(context, png(8))
    digits = try_it.answer(context, png(8), "digits")
    assert "digits 1" in digits and "zero" in digits and "Coat" not in digits and "loaded here" in digits


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("predict", "coat.png"), 0, "fashion 1"),  # the one that is served
        (("predict", "coat.png", "--name", "digits"), 0, "digits 1"),
        (("models", "show", "1"), 1, "several models are registered (digits, fashion): name one with --name"),
        (("models", "show", "1", "--name", "digits"), 0, "digits version 1"),
        (("models", "rollback", "--reason", "x"), 1, "name one with --name, such as --name digits"),
    ],
)
def test_command_means_the_named_model_or_says_how_to_name_one(
    server: RunningServer, tmp_path: Path, words: tuple[str, ...], status: int, says: str
) -> None:
    del server
    (tmp_path / "coat.png").write_bytes(png(8))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "200"}
    command = [sys.executable, "-m", "linnet", *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == status and says in done.stdout + done.stderr, done.stdout + done.stderr


def test_promotion_of_another_model_leaves_the_served_one_alone(server: RunningServer) -> None:
    """It once made the server of textures answer as faces."""
    registry = ModelRegistry(MlflowRegistry(), "ada@lab", traffic=ServerTraffic())
    before = server.client.routes()
    registry.store.set_alias("digits", "champion", None)
    assert registry.promote("digits", "1", None, override="by hand").version == "1"
    assert server.client.routes() == before and server.client.predict(png(8))["model"] == "fashion"
