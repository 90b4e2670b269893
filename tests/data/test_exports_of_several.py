"""Exports that tell of several classes an image: read as such where that is meant, refused elsewhere."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from linnet.config import DEFAULT_TASK, DataConfig, parse_config
from linnet.data.image_folder import read_image_folder
from linnet.data.ingest import ingest
from linnet.data.init_config import config_for
from linnet.errors import ConfigError, DataError
from linnet.tasks.parts import TASKS
from linnet.tasks.target import target_of
from tests.data.layouts import coco, coco_of_several, fill, text, yolo

SEVERAL = next(task for task in TASKS if target_of(task).several)


def pictures(folder: Path, count: int) -> list[str]:
    """Images that can be opened, of different pixels."""
    folder.mkdir(parents=True)
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (count, 16, 16, 3), np.uint8)):
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    return [f"{number:03}.png" for number in range(count)]


def labels_of(root: Path, task: str = SEVERAL, **more: Any) -> dict[str, int]:
    return dict(Counter(row.label for row in read_image_folder(root, task=task, **more).rows))


def test_all_classes_of_the_boxes_are_the_label(tmp_path: Path) -> None:
    coco_of_several(tmp_path)
    assert labels_of(tmp_path) == {"cat|dog": 1, "cat": 2, "dog": 1}
    raw = read_image_folder(tmp_path, ("dog", "cat"), "coco", SEVERAL)
    assert raw.classes == ("dog", "cat")


def test_image_without_a_box_shows_none_of_the_classes(tmp_path: Path) -> None:
    names = fill(tmp_path, "images", 4)
    text(tmp_path, "annotations.json", coco(names, [("cat", "dog"), "cat", "dog", ()]))
    assert labels_of(tmp_path) == {"cat|dog": 1, "cat": 1, "dog": 1, "": 1}


def test_task_of_one_class_refuses_them_and_names_the_other_task(tmp_path: Path) -> None:
    coco_of_several(tmp_path)
    with pytest.raises(DataError, match=rf"(?s)several classes:\n.*cat, dog.*set data\.task = \"{SEVERAL}\""):
        read_image_folder(tmp_path, task=DEFAULT_TASK)


def test_few_images_of_several_classes_are_mistakes_that_are_named(tmp_path: Path) -> None:
    names = pictures(tmp_path / "images", 40)
    text(tmp_path, "annotations.json", coco(names, [("cat", "dog"), *["cat", "dog"] * 19, "cat"]))
    with pytest.raises(DataError, match=r"1 image\(s\) have boxes of several classes"):
        config_for("pets", tmp_path)
    assert labels_of(tmp_path)["cat|dog"] == 1  # asked for, they count


def answers(*each: tuple[str, ...]) -> dict[str, Any]:
    return {
        "annotations": [{"result": [{"type": "choices", "value": {"choices": list(one)}}]} for one in each]
    }


def test_choices_of_one_person_are_a_label_and_those_of_two_that_differ_are_none(tmp_path: Path) -> None:
    names = fill(tmp_path, "images", 3)
    said = [answers(("cat", "dog")), answers(("cat",), ("cat",)), answers(("dog",))]
    tasks = [{"data": {"image": name}, **one} for name, one in zip(names, said, strict=True)]
    text(tmp_path, "export.json", json.dumps(tasks))
    assert labels_of(tmp_path) == {"cat|dog": 1, "cat": 1, "dog": 1}
    tasks[1] |= answers(("cat",), ("dog",))
    text(tmp_path, "export.json", json.dumps(tasks))
    with pytest.raises(DataError, match=r"people labelled 1 image\(s\) differently:\n.*cat, dog"):
        labels_of(tmp_path)


def test_folders_and_digits_name_one_class_an_image(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        pictures(tmp_path / name, 3)
    with pytest.raises(DataError, match=r"each image has one class in it.*data\.task is"):
        read_image_folder(tmp_path, task=SEVERAL)
    with pytest.raises(ConfigError, match=r"data\.task.*kind 'idx'"):
        ingest(DataConfig(kind="idx", task=SEVERAL, location=str(tmp_path)), "digits", tmp_path / "out")


def test_yolo_boxes_are_a_label_of_several_classes(tmp_path: Path) -> None:
    yolo(tmp_path)
    place = next(tmp_path.rglob("labels/train/*.txt"))
    place.write_text("0 .5 .5 .2 .2\n1 .5 .5 .2 .2\n", "utf-8")
    assert labels_of(tmp_path)["cat|dog"] == 1


def test_init_finds_the_task_and_ingest_reads_what_it_wrote(tmp_path: Path) -> None:
    names = pictures(tmp_path / "photos" / "images", 60)
    shown = [("cat", "dog"), "cat", "dog"] * 20
    text(tmp_path / "photos", "instances.json", coco(names, shown))
    made = config_for("pets", tmp_path / "photos")
    assert f'task = "{SEVERAL}"' in made.text and "show none of the classes" in made.told
    (tmp_path / "pets.toml").write_text(made.text, "utf-8")
    import tomllib

    config = parse_config(tomllib.loads(made.text))
    manifest = ingest(config.data, "pets", tmp_path / "samples")
    assert manifest.task == SEVERAL and manifest.rows == 60
    each = Counter[str]()
    for counts in manifest.counts.values():
        each.update(counts)
    assert each == {"cat": 40, "dog": 40}
