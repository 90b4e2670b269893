"""The configuration: what it accepts, and that every mistake gets one sentence that helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from linnet.config import SECTIONS, Config, load_config, parse_config
from linnet.errors import ConfigError

SHIPPED = sorted((Path(__file__).parent.parent / "configs").glob("*.toml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_shipped_config_loads(path: Path) -> None:
    assert load_config(path).name == path.stem


def test_shipped_configs_include_fashion() -> None:
    assert "fashion.toml" in [path.name for path in SHIPPED]


@pytest.mark.parametrize(
    ("raw", "where", "text"),
    [
        ({"train": {"epoch": 3}}, "train.epoch", "did you mean epochs?"),
        ({"train": {"epochs": "3"}}, "train.epochs", "valid integer, but it is '3'"),
        ({"train": {"epochs": -1}}, "train.epochs", "greater than or equal to 0"),
        ({"train": {"class_weights": True, "balanced_sampling": True}}, "train", "keep one of them"),
        ({"train": {"learning_rate": float("nan")}}, "train.learning_rate", "finite number"),
        ({"train": {"seed": 1.5}}, "train.seed", "valid integer, but it is 1.5"),
        ({"tain": {}}, "config.tain", "did you mean train?"),
        ({"data": 3}, "data", "write it as [data]"),
        ({"data": {"color": "blue"}}, "data.color", "'gray' or 'rgb'"),
        ({"data": {"classes": ["cat"]}}, "data", "at least 2"),
        ({"data": {"classes": ["cat", "cat"]}}, "data", "duplicate"),
        ({"data": {"test_fraction": 0.45, "validation_fraction": 0.45}}, "data", "leave some to train on"),
        ({"release": {"steps": [5, 1]}}, "release", "rise"),
        ({"release": {"steps": [1, 50]}}, "release", "exactly 100"),
        ({"gates": {"min_accuracy": 1.5}}, "gates.min_accuracy", "less than or equal to 1"),
        ({"name": "Not A Name"}, "config.name", "lower-case"),
    ],
)
def test_config_mistake_is_one_sentence(raw: dict[str, Any], where: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config({"name": "x", **raw})
    assert caught.value.where == where
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_config_without_name_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"config\.name: is missing"):
        parse_config({})


def test_section_survives_the_floats_of_a_kfp_struct() -> None:
    config = parse_config({"name": "x", "train": {"epochs": 3}, "release": {"steps": [1, 100]}})
    for name, section in SECTIONS.items():
        values = getattr(config, name).values()
        as_struct = {key: _floats(value) for key, value in values.items()}
        assert section.parse(as_struct, name) == getattr(config, name)


def _floats(value: Any) -> Any:
    if isinstance(value, list):
        return [_floats(item) for item in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def test_config_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        parse_config({"name": "x"}).name = "y"  # type: ignore[misc]


def test_every_setting_says_what_it_means() -> None:
    for section in (*SECTIONS.values(), Config):
        for field in section.model_fields:
            if field not in (*SECTIONS, "name"):
                assert section.meaning(field), f"{section.__name__}.{field} has no description"


def test_load_config_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_config(tmp_path / "none.toml")


def test_load_config_broken_toml_says_where(tmp_path: Path) -> None:
    path = tmp_path / "bad.toml"
    path.write_text("name = \n")
    with pytest.raises(ConfigError, match=r"is not TOML.*line 1"):
        load_config(path)


def test_load_config_override_wins(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    path.write_text('name = "x"\n[train]\nepochs = 5\n')
    assert load_config(path, {"train.epochs": 2}).train.epochs == 2
    with pytest.raises(ConfigError, match=r"section\.field"):
        load_config(path, {"epochs": 2})


def test_load_config_override_of_a_table_inside_a_section_wins(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('name = "x"\n')
    assert load_config(file, {"release.kserve.namespace": "models"}).release.kserve.namespace == "models"
    with pytest.raises(ConfigError, match=r"train\.epochs: must be a table, not 8"):
        load_config(file, {"train.epochs": 8, "train.epochs.most": 3})


SHAPE = {"height": 64, "width": 64, "color": "rgb"}


@pytest.mark.parametrize("kind", ["folder", "manifest"])
@pytest.mark.parametrize("missing", ["height", "width", "color"])
def test_images_of_ones_own_have_no_silent_size_or_color(kind: str, missing: str) -> None:
    data = {"kind": kind, "location": "photos", **SHAPE}
    assert parse_config({"name": "x", "data": data}).data.height == 64
    with pytest.raises(ConfigError, match=rf"data\.{missing}: is not set.*linnet init"):
        parse_config({"name": "x", "data": {key: data[key] for key in data if key != missing}})


RENAMED = [(section, old, new) for section, kind in SECTIONS.items() for old, new in kind.renamed.items()]


@pytest.mark.parametrize(("section", "old", "new"), RENAMED)
def test_renamed_setting_is_read_in_records_and_refused_where_a_person_writes_it(
    tmp_path: Path, section: str, old: str, new: str
) -> None:
    fields = SECTIONS[section].model_fields
    assert new in fields and old not in fields, "the old name is free, and the new one a setting"
    value = {bool: False, int: 7, float: 7.0, str: "a"}.get(type(fields[new].default), 0.5)
    value = 0.5 if "fraction" in new else value
    recorded: dict[str, Any] = {"name": "older", "data": {"kind": "idx"}}
    recorded[section] = {**recorded.get(section, {}), old: value}
    for config in (parse_config(recorded), Config.parse(recorded)):
        assert getattr(getattr(config, section), new) == value
    path = tmp_path / "own.toml"
    path.write_text('name = "own"\n')
    with pytest.raises(ConfigError, match=rf"{section}\.{old}: is called {new} now \(rename it\)"):
        load_config(path, {f"{section}.{old}": value})


def test_setting_that_is_gone_is_passed_over_in_records_of_whole_configs() -> None:
    assert Config.parse({"name": "older", "serving": {"max_pixels": 5}}).serving.values()
