"""Commands that take a config need none where there is one model; with several they name the flag."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnet.commands.chosen_config import chosen_config
from linnet.errors import ConfigError
from linnet.records import RunRecord, RunRequest, now
from linnet.run.runs import runs_dir
from tests.commands.test_cache_commands import linnet

COMMANDS = (
    "diagnose",
    "retraining why",
    "retraining check --dry-run",
    "retraining status",
    "retraining ledger",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def trained(model: str, **levels: float) -> None:
    """A training run of a model, with its config."""
    run = RunRecord(
        run_id=f"{model}-20260101-100000-aaaa", pipeline="training", commit="", state="succeeded",
        config={"name": model, "service_levels": levels}, started_at=now(),
        request=RunRequest(cause="person", actor="a"),
    )  # fmt: skip
    run.save(runs_dir() / run.run_id / "run.json")


def test_only_model_needs_no_config_and_its_run_says_how_it_is_judged(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del folder
    trained("fashion", availability=0.9)
    found = chosen_config(None)
    assert found.model_name == "fashion" and found.service_levels.availability == 0.9
    assert "by run fashion-20260101" in capsys.readouterr().err


def test_file_that_people_edit_comes_before_the_run(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained("fashion", availability=0.9)
    (folder / "configs").mkdir()
    (folder / "configs" / "mine.toml").write_text('name = "fashion"\n[service_levels]\navailability = 0.8\n')
    assert chosen_config(None).service_levels.availability == 0.8
    assert "configs/mine.toml" in capsys.readouterr().err


def test_broken_file_of_the_model_is_told_where_its_run_stands_in(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody mistyped a level: the model was judged by that of its last run, and nothing was said."""
    trained("fashion", availability=0.9)
    (folder / "mine.toml").write_text('name = "fashion"\n[service_levels]\navailability = 8\n')
    assert chosen_config(None).service_levels.availability == 0.9
    assert "not used: mine.toml: service_levels.availability" in capsys.readouterr().err


def test_before_the_first_run_the_only_config_is_meant(folder: Path) -> None:
    (folder / "mine.toml").write_text('name = "mine"\n')
    assert chosen_config(None).model_name == "mine"


@pytest.mark.parametrize("command", COMMANDS)
def test_several_models_are_named_with_the_flag(folder: Path, command: str) -> None:
    del folder
    for model in ("fashion", "digits"):
        trained(model)
    told = linnet(*command.split(), status=2)
    assert "digits, fashion" in told and "--name digits" in told


@pytest.mark.parametrize("command", COMMANDS)
def test_without_any_model_it_says_what_makes_one(folder: Path, command: str) -> None:
    del folder
    assert "linnet run CONFIG" in linnet(*command.split(), status=2)


def test_name_that_is_no_model_or_not_the_configs_is_refused(folder: Path) -> None:
    trained("fashion")
    with pytest.raises(ConfigError, match=r"no model 'nobody'.*known: fashion"):
        chosen_config(None, "nobody")
    (folder / "mine.toml").write_text('name = "mine"\n')
    with pytest.raises(ConfigError, match="is of model mine, not fashion"):
        chosen_config(Path("mine.toml"), "fashion")
