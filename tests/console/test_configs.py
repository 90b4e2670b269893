"""By which config the console judges a model, and what it says of one that cannot be read."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from linnet.config import Config, ServiceLevelsConfig, broken_config_files, config_files
from linnet.console.configs import bases, read_bases
from linnet.console.context import Context
from linnet.console.pages.monitoring import page, runbooks_of
from linnet.console.pages.overview import load
from linnet.console.production_status import watched
from linnet.run.model_config import model_config
from linnet.run.runs import runs_dir
from tests.console.records import run_record

LEVELS = "[service_levels]\navailability = {}\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty state folder, and no config yet."""
    monkeypatch.setenv("LINNET_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('name = "fashion"\n[service_levels]\navailabilty = 0.9\n', "availabilty"),
        ('name = "fashion"\n[service_levels\n', "is not TOML"),
    ],
)
def test_config_with_a_typo_is_told_where_the_model_is_judged(folder: Path, text: str, says: str) -> None:
    (folder / "configs" / "fashion.toml").write_text(text)
    (folder / "pyproject.toml").write_text('[project]\nname = "mine"\n')
    (folder / "engine.toml").write_text("[engine]\nport = 9000\n")
    (told,) = broken_config_files()
    assert says in told and "configs/fashion.toml" in told
    context = Context()
    assert told in {need.why for need in load(context, "").extra_needs}
    shown = page(watched(context, ""), {})
    assert says in shown and "configs/fashion.toml" in shown


def test_config_that_tuning_wrote_comes_after_its_own(folder: Path) -> None:
    (folder / "configs" / "fashion-tuned.toml").write_text('name = "fashion"\n' + LEVELS.format(0.5))
    (folder / "configs" / "fashion.toml").write_text('name = "fashion"\n' + LEVELS.format(0.9))
    assert [Path(path).stem for path in config_files()] == ["fashion", "fashion-tuned"]
    assert model_config("fashion").config.service_levels.availability == 0.9 and broken_config_files() == []


@pytest.mark.parametrize("model", ["Shop Photos", "Größe", "x" * 200, ""])
def test_model_whose_name_is_no_use_case_is_judged_by_the_defaults(folder: Path, model: str) -> None:
    del folder
    config = model_config(model).config
    assert config.registry.model == model and config.service_levels == ServiceLevelsConfig()
    assert not model or config.model_name == model


def test_runbook_is_of_the_model_whose_alert_it_is(folder: Path) -> None:
    text = 'name = "digits"\n[service_levels]\nrunbooks = "https://example.org/digits"\n'
    (folder / "digits.toml").write_text(text)
    context = Context()
    assert runbooks_of(context, "digits") == "https://example.org/digits" != runbooks_of(context, "fashion")
    links = re.findall(r'href="(/runbooks/[^"]+)"', page(watched(context, "digits"), {}))
    assert links and all(link.endswith("?model=digits") for link in links), links


def test_configs_to_begin_with_are_of_every_model_however_busy_another_is(folder: Path) -> None:
    """Those of the last ten runs were shown, which may all be of one model."""
    del folder
    busy = [run_record(f"busy-{number}", config={"name": "busy"}) for number in range(30)]
    found = bases([*busy, run_record("quiet-1", config={"name": "quiet"})])
    assert "run quiet-1" in found and "run busy-9" in found and "run busy-10" not in found


def run_of(folder: str, **config: object) -> None:
    values = Config.parse({"name": "fashion"}).values()
    run_record(folder).model_copy(update={"config": values | config, "model_name": "fashion"}).save(
        runs_dir() / folder / "run.json"
    )


def test_config_that_cannot_be_read_lets_no_older_one_be_taken_unsaid(folder: Path) -> None:
    """An older run's settings judged a model, and nobody knew."""
    run_of("fashion-20260101-100000-aaaa")
    assert model_config("fashion").doubts == ()
    (folder / "configs" / "faces.toml").write_text('name = "faces"\n[service_levels\n')
    assert model_config("fashion").doubt == "", "it is of another model"
    run_of("fashion-20260102-100000-aaaa", serving={"of_tomorrow": 1})
    (runs_dir() / "fashion-20260103-100000-aaaa").mkdir()
    (runs_dir() / "fashion-20260103-100000-aaaa" / "run.json").write_text("{")
    (folder / "configs" / "fashion.toml").write_text('name = "fashion"\n[service_levels\n')
    found = model_config("fashion")
    assert found.origin == "run fashion-20260101-100000-aaaa"
    told = "\n".join(found.doubts)
    assert "configs/fashion.toml" in told and "of_tomorrow" in told and "20260103" in told
    assert found.doubt.startswith("the config is that of run fashion-20260101-100000-aaaa, and another may")
    unread = watched(Context(), "fashion").unread
    assert any("of_tomorrow" in why for why in unread) and not any("fashion.toml" in why for why in unread)


def test_configs_that_the_form_cannot_begin_with_are_named(folder: Path) -> None:
    run_of("fashion-20260101-100000-aaaa")
    run_of("fashion-20260102-100000-aaaa", serving={"of_tomorrow": 1})
    (folder / "configs" / "faces.toml").write_text('name = "faces"\n[service_levels\n')
    read = read_bases(Context().sources.runs())
    assert list(read.configs) == ["run fashion-20260101-100000-aaaa"]
    assert "faces.toml" in read.left_out[0] and "run fashion-20260102" in read.left_out[1]


def test_folder_of_configs_that_cannot_be_listed_is_told(folder: Path) -> None:
    (folder / "configs").rmdir()
    (folder / "configs").symlink_to("configs")
    (told,) = broken_config_files(model="fashion")
    assert told.startswith("configs: its configs cannot be listed")
