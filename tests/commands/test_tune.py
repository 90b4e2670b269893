"""`linnet tune`: a real search of three tiny trainings, in MLflow, written as a config."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from linnet.cli import app
from linnet.commands.tune import write_config
from linnet.config import load_config
from linnet.errors import ConfigError, RunError
from linnet.registry.mlflow_registry import MlflowRegistry
from linnet.registry.tuning_runs import SEARCH
from tests.training.conftest import make_training_set

CONFIG = """\
name = "stripes"  # kept

[train]
epochs = 1  # kept, too
batch_size = 20
width = 4
flip = false
flip_average = false

[tune]
trials = 2
[tune.space]
learning_rate = { low = 0.01, high = 0.2, log = true }
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "state"))
    (tmp_path / "stripes.toml").write_text(CONFIG)
    return tmp_path / "stripes.toml"


def test_best_settings_become_a_config_and_each_trial_a_run_in_mlflow(config: Path, tmp_path: Path) -> None:
    made = make_training_set(tmp_path / "made", count=96)
    words = ["tune", str(config), "--training-set", str(made)]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, said.output
    assert "(best)" in said.output and "stripes-tuned.toml" in said.output
    tuned = tmp_path / "stripes-tuned.toml"
    assert "# kept" in tuned.read_text() and "# kept, too" in tuned.read_text()
    rate = load_config(tuned).train.learning_rate
    registry = MlflowRegistry()
    with registry.client() as client:
        logged = client.search_runs([registry.experiment("stripes")], f"tags.`{SEARCH}` != ''")
    assert len(logged) == 2
    best = max(logged, key=lambda run: run.data.metrics["validation_macro_f1"])
    assert float(best.data.params["train.learning_rate"]) == pytest.approx(rate)
    again = CliRunner().invoke(app, words)
    assert isinstance(again.exception, ConfigError) and "exists already" in str(again.exception)


def test_dry_run_shows_the_space_and_trains_nothing(config: Path, tmp_path: Path) -> None:
    made = make_training_set(tmp_path / "made", count=96)
    said = CliRunner().invoke(app, ["tune", str(config), "--training-set", str(made), "--dry-run"])
    assert said.exit_code == 0, said.output
    assert "up to 2 times" in said.output and "0.01 to 0.2, by the logarithm" in said.output
    assert not (tmp_path / "stripes-tuned.toml").exists() and not (tmp_path / "state" / "tune").exists()


def test_tune_before_the_first_run_says_what_to_do(config: Path) -> None:
    said = CliRunner().invoke(app, ["tune", str(config)])
    assert isinstance(said.exception, RunError) and "--training-set" in str(said.exception)


def test_config_without_a_train_section_gets_one(tmp_path: Path) -> None:
    (tmp_path / "bare.toml").write_text('name = "bare"\n')
    write_config(
        tmp_path / "bare.toml", {"epochs": 3, "flip": True, "watch": "macro_f1"}, tmp_path / "out.toml"
    )
    train = load_config(tmp_path / "out.toml").train
    assert (train.epochs, train.flip, train.watch) == (3, True, "macro_f1")
