from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linnet.config import PHOTO_BACKBONE, Config, Layout, load_config, parse_config
from linnet.data.folder_tree import count_reasons
from linnet.data.ingest import ingest
from linnet.data.init_config import config_for
from linnet.data.layout import understand
from linnet.data.presets import Preset, choose_fit, train_section
from linnet.errors import ConfigError, DataError
from linnet.statistics.attainable import margin_of
from linnet.statistics.intervals import auc
from linnet.statistics.metrics import Predictions
from linnet.statistics.paired import paired_difference
from linnet.vision.decode import encode_png


def loaded(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "made.toml"
    path.write_text(text, "utf-8")
    return load_config(path)


def test_config_for_digits_keeps_their_size_and_ingests(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits  # a second

    digits = load_digits()
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = tmp_path / "digits" / str(label) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encode_png((image * 255 / 16).round().astype(np.uint8)[:, :, None]))
    config = loaded(tmp_path, config_for("digits", tmp_path / "digits").text)
    assert (config.data.height, config.data.width, config.data.color) == (8, 8, "gray")
    assert config.data.classes == tuple("0123456789")
    assert not config.train.flip
    assert not config.train.flip_average
    manifest = ingest(config.data, config.name, tmp_path / "samples")
    assert manifest.raw_rows == 1797
    assert min(manifest.counts["test"].values()) >= 20


def test_config_for_color_images_of_mixed_sizes_takes_the_median_side(
    tmp_path: Path, picture: Callable[..., bytes]
) -> None:
    sides = [(20, 400), (40, 300), (50, 500)]
    for number, (height, width) in enumerate(sides * 8):
        path = tmp_path / "p" / "ab"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number, height, width, 3))
    text = config_for("p", tmp_path / "p").text
    config = loaded(tmp_path, text)
    assert (config.data.height, config.data.width, config.data.color) == (40, 64, "rgb")
    assert "3 sizes" in text


def test_config_for_official_test_split_says_that_the_fraction_is_unused(
    tmp_path: Path, picture: Callable[..., bytes]
) -> None:
    for number in range(40):
        place = tmp_path / "p" / ("train/a", "train/b", "test/a", "test/b")[number % 4] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(picture(number))
    assert "the data have a test split" in config_for("p", tmp_path / "p").text


def test_config_for_odd_names_is_valid_toml(tmp_path: Path, picture: Callable[..., bytes]) -> None:
    names = ['say "hi"', "back\\slash", "grün", "'single' # and ="]
    for number in range(24):
        place = tmp_path / "p" / names[number % len(names)] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(picture(number))
    text = config_for("p", tmp_path / "p").text
    assert tomllib.loads(text)["data"]["classes"] == sorted(names)
    assert loaded(tmp_path, text).validation.min_per_class == 2


def test_config_for_a_folder_with_other_files_names_them(photos: Path) -> None:
    (photos / "cat" / "000.txt").write_text("a note")
    assert "not an image: cat/000.txt" in config_for("photos", photos).told


def test_config_for_one_class_or_a_bad_name_is_refused(tmp_path: Path, photos: Path) -> None:
    (tmp_path / "one" / "a").mkdir(parents=True)
    (tmp_path / "one" / "a" / "1.png").write_bytes(b"x")
    with pytest.raises(DataError, match="at least 2 classes"):
        config_for("one", tmp_path / "one")
    with pytest.raises(ConfigError, match="name"):
        config_for("Not A Name", photos)


@pytest.mark.parametrize("each", [30, 60, 200])
def test_gates_let_a_faultless_model_pass_however_few_images_there_are(tmp_path: Path, each: int) -> None:
    for name in ("cat", "dog"):
        for number in range(each):
            file = tmp_path / name / f"{number}.png"
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(encode_png(np.full((8, 8, 1), number, np.uint8)))
    config = parse_config(tomllib.loads(config_for("pets", tmp_path).text))
    labels = np.repeat(np.arange(2), round(each * config.data.test_fraction))
    probabilities = np.where(np.eye(2)[labels] > 0, 0.99, 0.01)
    bound = auc(Predictions(labels=labels, probabilities=probabilities), 0.95)
    assert bound.low >= config.gates.min_auc


@pytest.mark.parametrize("each", [12, 122, 400])
def test_an_equally_good_next_version_passes_the_margin_that_init_wrote(tmp_path: Path, each: int) -> None:
    """On the test images that `ingest` really makes of the folder; about 49 for 122 images a class."""
    for index, name in enumerate(("cat", "dog")):
        for number in range(each):
            file = tmp_path / "p" / name / f"{number}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(2 * number + index).integers(0, 256, (8, 8, 1), np.uint8)
            file.write_bytes(encode_png(pixels))
    config = loaded(tmp_path, config_for("pets", tmp_path / "p").text)
    manifest = ingest(config.data, config.name, tmp_path / "samples")
    pairs = sum(manifest.counts["test"].values())
    found = paired_difference(0, 0, pairs, config.evaluation.confidence)
    assert found.low > -margin_of(config.gates, pairs, config.evaluation.confidence), pairs


def test_color_is_decided_by_all_images(tmp_path: Path, picture: Callable[..., bytes]) -> None:
    """Every second one has color: a sample of every n-th image may miss all of these."""
    for number in range(500):
        file = tmp_path / "p" / "ab"[number % 2] / f"{number:03d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(number, 4, 4, 3 if number == 499 else 1))
    text = config_for("p", tmp_path / "p").text
    assert loaded(tmp_path, text).data.color == "rgb"
    assert "# 1 of 500 images have color" in text


def test_classes_of_a_table_that_are_not_all_shown_are_counted(
    tmp_path: Path, picture: Callable[..., bytes]
) -> None:
    lines = ["path,label"]
    for number in range(23 * 8):
        (tmp_path / f"{number}.png").write_bytes(picture(number, 4, 4, 1))
        lines.append(f"{number}.png,class{number % 23:02d}")
    (tmp_path / "shop.csv").write_text("\n".join(lines))
    assert "class19 8 and 3 more" in config_for("shop", tmp_path / "shop.csv").told


@pytest.mark.parametrize("ending", ["csv", "tsv", "semicolon.csv", "parquet"])
def test_config_for_a_table_names_it_and_takes_size_and_color_of_its_images(
    tmp_path: Path, photos: Path, picture: Callable[..., bytes], ending: str
) -> None:
    (photos / "cat" / "color.png").write_bytes(picture(1, 8, 8, 3))
    rows = [
        (f"photos/{path.relative_to(photos)}", path.parent.name) for path in sorted(photos.rglob("*.png"))
    ]
    table = tmp_path / f"shop.{ending}"
    if ending == "parquet":
        pq.write_table(pa.table({"path": [row[0] for row in rows], "label": [row[1] for row in rows]}), table)
    else:
        separator = {"csv": ",", "tsv": "\t"}.get(ending, ";")
        table.write_text("\n".join(separator.join(row) for row in [("Filename", "Class"), *rows]))
    made = config_for("shop", table)
    config = loaded(tmp_path, made.text)
    assert (config.data.kind, config.data.location) == ("manifest", str(table))
    assert (config.data.height, config.data.width, config.data.color) == (8, 8, "rgb")
    assert "a table of 121 images in 2 classes: cat 61, dog 60" in made.told
    assert ingest(config.data, "shop", tmp_path / "out").raw_rows == 121


LAYOUTS = [
    (("train/cat", "train/dog", "valid/cat", "valid/dog", "Testing/cat", "Testing/dog"), "auto"),
    (("data/cat", "data/dog"), "auto"),
    (("train", "bus"), "classes"),
    (("train", "test"), "classes"),
    (("train/cat", "train/dog", "test/cat", "test/dog", "extra"), "splits"),
    (("cat/train", "dog/train", "cat/test", "dog/test"), "auto"),
]


@pytest.mark.parametrize(("folders", "layout"), LAYOUTS)
def test_ingest_reads_the_folder_as_init_showed_it(
    tmp_path: Path, picture: Callable[..., bytes], folders: tuple[str, ...], layout: Layout
) -> None:
    for number in range(120):
        file = tmp_path / "p" / folders[number % len(folders)] / f"{number:03d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(picture(number))
    shown = understand(tmp_path / "p", layout=layout)
    config = loaded(tmp_path, config_for("p", tmp_path / "p", layout).text)
    assert understand(tmp_path / "p", config.data.classes) == shown
    manifest = ingest(config.data, "p", tmp_path / "out")
    assert manifest.raw_rows == len(shown.images)
    assert manifest.left_out == count_reasons(shown.left_out)


@pytest.mark.parametrize(("preset", "epochs"), [("fast", 0), ("balanced", 5), ("best", 30)])
def test_config_for_photos_takes_the_pretrained_backbone_at_224(
    tmp_path: Path, picture: Callable[..., bytes], preset: Preset, epochs: int
) -> None:
    for number in range(40):
        path = tmp_path / "p" / ("a" if number % 8 else "b") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number, 90, 120, 3))
    text = config_for("p", tmp_path / "p", preset=preset).text
    config = loaded(tmp_path, text)
    assert (config.data.height, config.data.width, config.data.color) == (224, 224, "rgb")
    assert config.train.backbone_for(config.data.height, config.data.width) == PHOTO_BACKBONE
    assert config.train.epochs == epochs
    assert config.train.class_weights and "7 times the smallest" in text
    assert f"Preset {preset}: 40 photos" in text


def test_presets_of_small_images_differ_in_epochs_only_by_their_factor(tmp_path: Path) -> None:
    presets: tuple[Preset, ...] = ("fast", "balanced", "best")
    made = [tomllib.loads(train_section(preset, 1000, 28, 28, 1.0))["train"] for preset in presets]
    assert [section["epochs"] for section in made] == [48, 96, 192]
    assert "patience" not in made[0] and made[1]["patience"] == 24
    assert not any(section["class_weights"] for section in made)


@pytest.mark.parametrize(
    ("side", "long", "fit"), [(28, 0.5, "squash"), (224, 0.0, "crop"), (224, 0.1, "crop"), (224, 0.5, "pad")]
)
def test_fit_is_chosen_by_the_size_and_the_proportions(side: int, long: float, fit: str) -> None:
    chosen, why = choose_fit(side, side, long)
    assert chosen == fit and why
