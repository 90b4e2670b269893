"""Index masks beside images."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linnet.config import DataConfig
from linnet.data.image_folder import read_image_folder
from linnet.data.ingest import ingest
from linnet.errors import DataError
from linnet.records import DatasetManifest
from linnet.tasks.parts import TASKS
from linnet.tasks.target import target_of

TASK = TASKS[-1]
CLASSES = ("bag", "shoe")


def photo(path: Path, seed: int = 0, size: tuple[int, int] = (10, 12)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, size, np.uint8)).save(path)


def mask(path: Path, values: np.ndarray, palette: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint8))
    if palette:
        image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.save(path)


def values(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 3, (10, 12))


@pytest.mark.parametrize("palette", [False, True])
def test_masks_are_found_beside_their_images_with_splits(tmp_path: Path, palette: bool) -> None:
    for number, split in enumerate(("train", "train", "test")):
        photo(tmp_path / split / "images" / f"{number}.jpg", number)
        mask(tmp_path / split / "masks" / f"{number}.png", values(number), palette)
    (tmp_path / "classes.txt").write_text("bag\nshoe\n")
    for given in ((), CLASSES):
        raw = read_image_folder(tmp_path, given, "masks", TASK)
        assert raw.classes == CLASSES and [row.split for row in raw.rows] == ["test", "train", "train"]
        target = target_of(TASK)
        for row in raw.rows:
            wanted = values(int(Path(row.origin).stem))
            assert (target.encode([row.label], CLASSES, 10, 12)[0] == wanted).all()


def test_what_is_wrong_with_masks_is_told_by_name(tmp_path: Path) -> None:
    for number in range(5):
        photo(tmp_path / "images" / f"{number}.png", number)
    mask(tmp_path / "masks" / "0.png", values())
    mask(tmp_path / "masks" / "1.png", np.full((10, 12), 255))
    photo(tmp_path / "masks" / "2.png", 1, (10, 12, 3))
    (tmp_path / "masks" / "3.png").write_bytes(b"no image")
    mask(tmp_path / "masks" / "9.png", values())
    mask(tmp_path / "masks" / "0.tif", values())
    with pytest.raises(DataError) as told:
        read_image_folder(tmp_path, CLASSES, "masks", TASK)
    for part in (
        "masks/1.png: the value 255 is no class: 0 is background, and 2 is the last",
        "masks/2.png: a mask of mode RGB",
        "masks/3.png: it cannot be read as an image",
        "images/4.png: it has no mask",
        "masks/0.tif: another mask has that name, too",
        "masks/9.png: there is no image of that name",
    ):
        assert part in str(told.value)
    with pytest.raises(DataError, match=r"data\.classes, or in classes\.txt"):
        read_image_folder(tmp_path, (), "masks", TASK)
    for task in ("", TASKS[0]):
        with pytest.raises(DataError, match="asks for no places"):
            read_image_folder(tmp_path, CLASSES, "masks", task)
    (tmp_path / "other").mkdir()
    photo(tmp_path / "other" / "0.png")
    with pytest.raises(DataError, match="no folder of masks"):
        read_image_folder(tmp_path / "other", CLASSES, "masks", TASK)


def test_mask_of_another_size_is_refused_when_the_images_are_seen(tmp_path: Path) -> None:
    for number in range(40):
        photo(tmp_path / "images" / f"{number}.png", number, (12, 12) if number == 7 else (10, 12))
        mask(tmp_path / "masks" / f"{number}.png", values(number))
    config = DataConfig(kind="folder", location=str(tmp_path), layout="masks", task=TASK, classes=CLASSES)
    with pytest.raises(
        DataError, match=r"images/7\.png: its masks have 10 x 12 pixels, and the image 12 x 12"
    ):
        ingest(config, "masks", tmp_path / "out")
    (tmp_path / "images" / "7.png").unlink()
    (tmp_path / "masks" / "7.png").unlink()
    ingest(config, "masks", tmp_path / "out")
    assert DatasetManifest.load(tmp_path / "out" / "manifest.json").rows == 39
