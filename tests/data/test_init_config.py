from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

from linnet.config import Config, load_config, parse_config
from linnet.data.ingest import ingest
from linnet.data.init_config import config_for_folder
from linnet.errors import ConfigError, DataError
from linnet.statistics.intervals import auc
from linnet.statistics.metrics import Predictions
from linnet.vision.decode import encode_png


def loaded(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "made.toml"
    path.write_text(text, "utf-8")
    return load_config(path)


def test_config_for_digits_keeps_their_size_and_ingests(tmp_path: Path) -> None:
    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = tmp_path / "digits" / str(label) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png((image * 255 / 16).round().astype(np.uint8)[:, :, None]))
    config = loaded(tmp_path, config_for_folder("digits", tmp_path / "digits"))
    assert (config.data.height, config.data.width, config.data.color) == (8, 8, "gray")
    assert config.data.classes == tuple("0123456789")
    assert not config.train.flip
    assert not config.train.flip_average
    manifest = ingest(config.data, config.name, tmp_path / "samples")
    assert manifest.raw_rows == 1797
    assert min(manifest.counts["test"].values()) >= 20


def test_config_for_colour_images_of_mixed_sizes_takes_the_median_side(
    tmp_path: Path, picture: Callable[..., bytes]
) -> None:
    sides = [(20, 400), (40, 300), (50, 500)]
    for number, (height, width) in enumerate(sides * 4):
        path = tmp_path / "p" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number, height, width, 3))
    text = config_for_folder("p", tmp_path / "p")
    config = loaded(tmp_path, text)
    assert (config.data.height, config.data.width, config.data.color) == (40, 64, "rgb")
    assert "3 sizes" in text


def test_config_for_official_test_split_says_that_the_fraction_is_unused(
    tmp_path: Path, picture: Callable[..., bytes]
) -> None:
    for number, place in enumerate(["train/a", "train/b", "test/a", "test/b"]):
        (tmp_path / "p" / place).mkdir(parents=True)
        (tmp_path / "p" / place / "1.png").write_bytes(picture(number))
    assert "the folder has a test split" in config_for_folder("p", tmp_path / "p")


def test_config_for_odd_names_is_valid_toml(tmp_path: Path, picture: Callable[..., bytes]) -> None:
    names = ['say "hi"', "back\\slash", "grün\x7f", "tab\tnew\nline"]
    for number, name in enumerate(names):
        (tmp_path / "p" / name).mkdir(parents=True)
        (tmp_path / "p" / name / "1.png").write_bytes(picture(number))
    text = config_for_folder("p", tmp_path / "p")
    assert tomllib.loads(text)["data"]["classes"] == sorted(names)
    assert loaded(tmp_path, text).validation.min_per_class == 1


def test_config_for_folder_with_other_files_names_them(photos: Path) -> None:
    (photos / "cat" / "000.txt").write_text("a note")
    with pytest.raises(DataError, match=r"are no image:\n  - cat/000\.txt: is not a readable PNG"):
        config_for_folder("photos", photos)


def test_config_for_one_class_or_a_bad_name_is_refused(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "one" / "a").mkdir(parents=True)
    (tmp_path / "one" / "a" / "1.png").write_bytes(b"x")
    with pytest.raises(DataError, match="at least 2 classes"):
        config_for_folder("one", tmp_path / "one")
    with pytest.raises(ConfigError, match="name"):
        config_for_folder("Not A Name", photos)


@pytest.mark.parametrize("each", [30, 60, 200])
def test_gates_let_a_faultless_model_pass_however_few_images_there_are(tmp_path: Path, each: int) -> None:
    for name in ("cat", "dog"):
        for number in range(each):
            file = tmp_path / name / f"{number}.png"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(encode_png(np.full((8, 8, 1), number, np.uint8)))
    config = parse_config(tomllib.loads(config_for_folder("pets", tmp_path)))
    labels = np.repeat(np.arange(2), round(each * config.data.test_fraction))
    probabilities = np.where(np.eye(2)[labels] > 0, 0.99, 0.01)
    bound = auc(Predictions(labels=labels, probabilities=probabilities), 0.95)
    assert bound.low >= config.gates.min_auc
