"""Boxes as labels, in exports and in Label Studio; how they move, are learned, and become answers."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from linnet.commands.drawn_answer import draw_answer
from linnet.config import DataConfig, GatesConfig, TrainConfig, parse_config
from linnet.data.image_manifest import manifest_rows
from linnet.data.init_config import config_for
from linnet.data.layout import understand
from linnet.errors import ConfigError, DataError
from linnet.tasks.augment import Moves
from linnet.tasks.detection.agree import consensus
from linnet.tasks.detection.augment import AUGMENT
from linnet.tasks.detection.boxes import Box, boxes_of, text_of
from linnet.tasks.detection.label_form import NO_OBJECT, label_form
from linnet.tasks.detection.model import MODEL
from linnet.tasks.detection.target import TARGET
from linnet.tasks.label_form import CANNOT_TELL, BadAnswer
from linnet.tasks.score import score_of

CLASSES = ("cat", "dog")
WIDE, HIGH = 64, 48


@st.composite
def pixel_boxes(draw: st.DrawFn) -> tuple[str, int, int, int, int]:
    left, top = draw(st.integers(0, WIDE - 1)), draw(st.integers(0, HIGH - 1))
    return (
        draw(st.sampled_from(CLASSES)), left, top,
        draw(st.integers(left + 1, WIDE)), draw(st.integers(top + 1, HIGH)),
    )  # fmt: skip


def label_of(boxes: Sequence[tuple[str, int, int, int, int]]) -> str:
    return text_of(Box(name, a / WIDE, b / HIGH, c / WIDE, d / HIGH) for name, a, b, c, d in boxes)


@pytest.mark.parametrize(
    ("cell", "problem"),
    [
        ("", "no label; write"),
        ("cat", "no list of boxes in JSON"),
        ('{"cat": 1}', "no list of boxes"),
        ('[["cat", 0, 0, 1]]', "not a class and four numbers"),
        ('[["cat", 0, 0, 1, "1"]]', "not all numbers"),
        ('[["cat", 0.5, 0.1, 1.2, 0.9]]', "outside the image"),
        ('[["cat", 0.5, NaN, 1, 0.9]]', "outside the image"),
        ('[["cat", 0.5, 0.5, 0.5, 0.9]]', "without area"),
        ('[["cat", 0.1, 0.1, 0.5, 0.5], ["cat", 0.1, 0.1, 0.5, 0.5]]', "same box of 'cat' twice"),
        (json.dumps([["cat", n / 200, 0, 1, 1] for n in range(101)]), "101 boxes; at most 100"),
    ],
)
def test_cell_that_holds_no_boxes_is_refused_in_words(cell: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        TARGET.read(cell)


@settings(max_examples=60, deadline=None)
@given(st.lists(pixel_boxes(), max_size=8))
def test_label_keeps_its_boxes_through_arrays_and_label_studio(boxes: list[Any]) -> None:
    label = label_of(boxes)
    assert TARGET.read(TARGET.cell(label)) == label == TARGET.joined([label, label])
    row = TARGET.encode([label], CLASSES, HIGH, WIDE)
    assert TARGET.problem(row, 2) == "" and TARGET.decode(row[0], CLASSES) == label
    form = label_form(CLASSES)
    assert form.answer({"result": form.prediction(label, 0.5, "m")["result"]}) == ("label", label)
    assert TARGET.renamed(TARGET.renamed(label, str.upper), str.lower) == label


def picture(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    seed = int(Path(name).stem)
    pixels = np.random.default_rng(seed).integers(0, 255, (HIGH, WIDE), np.uint8)
    Image.fromarray(pixels).save(folder / name)


Exported = Sequence[Sequence[tuple[str, int, int, int, int]]]
EXPORTED: Exported = [[("cat", 3, 5, 20, 30), ("dog", 0, 0, WIDE, HIGH)], [("dog", 10, 4, 33, 47)], []]


def write_coco(root: Path, exported: Exported) -> None:
    images = [{"id": n, "file_name": f"{n}.png", "width": WIDE, "height": HIGH} for n in range(3)]
    marked = [
        {"id": n, "image_id": n, "category_id": CLASSES.index(name), "bbox": [a, b, c - a, d - b]}
        for n, boxes in enumerate(exported)
        for name, a, b, c, d in boxes
    ]
    names = [{"id": k, "name": name} for k, name in enumerate(CLASSES)]
    content = {"images": images, "annotations": marked, "categories": names}
    (root / "instances.json").write_text(json.dumps(content))


def write_voc(root: Path, exported: Exported) -> None:
    for n, boxes in enumerate(exported):
        objects = "".join(
            f"<object><name>{name}</name><bndbox><xmin>{a + 1}</xmin><ymin>{b + 1}</ymin><xmax>{c}</xmax>"
            f"<ymax>{d}</ymax></bndbox></object>"
            for name, a, b, c, d in boxes
        )
        size = f"<size><width>{WIDE}</width><height>{HIGH}</height></size>"
        (root / f"{n}.xml").write_text(
            f"<annotation><filename>{n}.png</filename>{size}{objects}</annotation>"
        )


def write_yolo(root: Path, exported: Exported) -> None:
    (root / "data.yaml").write_text("train: images\nnames: [cat, dog]\n")
    (root / "labels").mkdir()
    for n, boxes in enumerate(exported):
        lines = [
            f"{CLASSES.index(name)} {(a + c) / 2 / WIDE} {(b + d) / 2 / HIGH} "
            f"{(c - a) / WIDE} {(d - b) / HIGH}"
            for name, a, b, c, d in boxes
        ]
        (root / "labels" / f"{n}.txt").write_text("\n".join(lines))


def write_label_studio(root: Path, exported: Exported) -> None:
    form = label_form(CLASSES)
    nobody = {"from_name": "whole", "type": "choices", "value": {"choices": [CANNOT_TELL]}}
    tasks = [
        {"id": n, "data": {"image": f"{n}.png"},
         "annotations": [{"result": form.prediction(label_of(boxes), 1.0, "")["result"]},
                         {"result": [nobody]}]}
        for n, boxes in enumerate(exported)
    ]  # fmt: skip
    (root / "project.json").write_text(json.dumps(tasks))


@pytest.mark.parametrize("write", [write_coco, write_voc, write_yolo, write_label_studio])
def test_export_of_boxes_is_read_to_the_pixel_and_its_task_is_found(write: Any, tmp_path: Path) -> None:
    where = "images/" if write is write_yolo else ""
    for n in range(3):
        picture(tmp_path, f"{where}{n}.png")
    write(tmp_path, EXPORTED)
    found = understand(tmp_path)
    assert found.task == "detection"
    assert [image.label for image in found.images] == [label_of(boxes) for boxes in EXPORTED]


def both(exported: Exported) -> bool:
    """Whether both classes are there, as a dataset must have two."""
    return {name for boxes in exported for name, *_ in boxes} == set(CLASSES)


def in_pixels(box: Box) -> tuple[str, int, int, int, int]:
    left, top, right, bottom = (
        round(side * whole) for side, whole in zip(box[1:], (WIDE, HIGH, WIDE, HIGH), strict=True)
    )
    return box.name, left, top, right, bottom


WRITERS = write_coco, write_voc, write_yolo, write_label_studio


@settings(max_examples=20, deadline=None)
@given(st.lists(st.lists(pixel_boxes(), max_size=5, unique=True), min_size=3, max_size=3).filter(both))
def test_boxes_go_from_each_format_to_each_other_and_back_without_loss(exported: Exported) -> None:
    """What one format was read as is written in the next, in a ring and back again."""
    first = [label_of(boxes) for boxes in exported]
    for write in (*WRITERS, *reversed(WRITERS)):
        with TemporaryDirectory() as name:
            root = Path(name)
            for n in range(3):
                picture(root, f"{'images/' if write is write_yolo else ''}{n}.png")
            write(root, exported)
            read = [image.label for image in understand(root, task="detection").images]
        assert read == first, write.__name__
        exported = [[in_pixels(box) for box in boxes_of(label)] for label in read]


def test_config_of_an_export_of_boxes_can_be_run(tmp_path: Path) -> None:
    for n in range(60):
        picture(tmp_path, f"{n}.png")
    images = [{"id": n, "file_name": f"{n}.png", "width": WIDE, "height": HIGH} for n in range(60)]
    marked = [{"id": n, "image_id": n, "category_id": n % 2, "bbox": [4, 4, 20, 20]} for n in range(60)]
    names = [{"id": k, "name": name} for k, name in enumerate(CLASSES)]
    content = {"images": images, "annotations": marked, "categories": names}
    (tmp_path / "instances.json").write_text(json.dumps(content))
    made = config_for("boxes", tmp_path)
    config = parse_config(tomllib.loads(made.text))
    assert (config.data.task, config.data.layout, config.data.fit) == ("detection", "coco", "squash")
    MODEL.check(config.train)
    TARGET.check(config.data)
    usual = GatesConfig()
    for name in ("accuracy", "macro_f1", "micro_f1", "map", "map50", "auc", "mean_iou"):
        own = getattr(config.gates, f"min_{name}") != getattr(usual, f"min_{name}")
        assert not own or name in score_of("detection").gated, name


@pytest.mark.parametrize(
    ("about", "problem"),
    [
        ({"bbox": [60, 5, 10, 10]}, "outside the image"),
        ({"bbox": [3, 5, 0, 10]}, "without area"),
        ({"bbox": [3, 5, 10]}, "without an upright box"),
        ({"bbox": [3, 5, 10, 10], "iscrowd": 1}, "crowd"),
    ],
)
def test_export_with_wrong_boxes_names_their_images(
    about: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    write_coco(tmp_path, EXPORTED)
    for n in range(3):
        picture(tmp_path, f"{n}.png")
    content = json.loads((tmp_path / "instances.json").read_text())
    content["annotations"][0] |= about
    (tmp_path / "instances.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=f"0.png: .*{problem}"):
        understand(tmp_path, task="detection")


@pytest.mark.parametrize("task", ["", "detection"])
def test_object_of_voc_without_its_box_is_refused_with_its_image(task: str, tmp_path: Path) -> None:
    """It was left out, unsaid, where another object of the image had a box."""
    exported = [EXPORTED[0]] * 20
    write_voc(tmp_path, exported)
    for n in range(20):
        picture(tmp_path, f"{n}.png")
    text = (tmp_path / "7.xml").read_text()
    (tmp_path / "7.xml").write_text(text.replace("<bndbox>", "<gone>", 1).replace("</bndbox>", "</gone>", 1))
    with pytest.raises(DataError, match=r"(?s)1 image\(s\) have no usable label.*7\.png: 'cat' without an"):
        understand(tmp_path, task=task)


def test_answers_of_label_studio_that_are_no_boxes_are_told() -> None:
    form = label_form(CLASSES)
    whole = {"from_name": "whole", "value": {"choices": [NO_OBJECT]}}
    [rectangle] = form.prediction(label_of([("cat", 1, 1, 9, 9)]), 1.0, "m")["result"]
    assert form.answer({"result": [whole]}) == ("label", "[]")
    assert form.answer({"result": [{**whole, "value": {"choices": [CANNOT_TELL]}}]}) == ("cannot_tell", "")
    assert form.answer({"was_cancelled": True}) == ("skipped", "")
    turned = {**rectangle, "value": {**rectangle["value"], "rotation": 30}}
    foreign = {**rectangle, "value": {**rectangle["value"], "rectanglelabels": ["cow"]}}
    outside = {**rectangle, "value": {**rectangle["value"], "width": 150}}
    for result, problem in (
        ([], "no box, and does not say"),
        ([rectangle, whole], "and has 1 box"),
        ([turned], "turned"),
        ([foreign], "'cow'; the dataset has cat, dog"),
        ([outside], "outside the image"),
    ):
        with pytest.raises(BadAnswer, match=problem):
            form.answer({"result": result})
    parsed = {
        "label": {"type": "RectangleLabels", "labels": list(CLASSES)},
        "whole": {"type": "Choices", "labels": [NO_OBJECT, CANNOT_TELL]},
    }
    assert form.fits(parsed) == ""
    assert "lacks the label(s) dog" in form.fits({**parsed, "label": {**parsed["label"], "labels": ["cat"]}})
    for name in (*CLASSES, NO_OBJECT, "RectangleLabels"):
        assert name in form.config()


def test_boxes_move_with_their_pixels() -> None:
    side, rng = 32, np.random.default_rng(0)
    images = torch.zeros((40, side, side, 1), dtype=torch.uint8)
    labels = []
    for image in images:
        left, top = rng.integers(4, 14, 2)
        right, bottom = left + rng.integers(6, 14), top + rng.integers(6, 14)
        image[top:bottom, left:right] = 255
        labels.append(text_of([Box("cat", left / side, top / side, right / side, bottom / side)]))
    targets = torch.from_numpy(TARGET.encode(labels, CLASSES, side, side))
    mirrored = torch.from_numpy(rng.random(40) < 0.5)
    shift = torch.from_numpy(rng.integers(-4, 5, (40, 2)))
    moved = torch.where(mirrored[:, None, None, None], images.flip(2), images)
    rolled = torch.stack(
        [torch.roll(one, tuple(by), (0, 1)) for one, by in zip(moved, shift.tolist(), strict=True)]
    )
    found = AUGMENT.moved(targets, Moves(side, side, mirrored, shift))
    for image, row in zip(rolled[..., 0].numpy(), found.numpy(), strict=True):
        y, x = np.nonzero(image)
        expected = np.array([x.min(), y.min(), x.max() + 1, y.max() + 1]) / side
        np.testing.assert_allclose(row[0], [0, *expected], atol=1e-6)
        assert (row[1:, 0] == -1).all()


def test_box_that_leaves_the_image_is_cut_and_one_that_is_gone_is_no_box() -> None:
    label = text_of([Box("cat", 0.0, 0.0, 0.5, 0.5), Box("dog", 0.6, 0.6, 1.0, 1.0)])
    targets = torch.from_numpy(TARGET.encode([label], CLASSES, 20, 20))
    found = AUGMENT.moved(targets, Moves(20, 20, None, torch.tensor([[6, 6]])))
    assert TARGET.decode(found[0].numpy(), CLASSES) == text_of([Box("cat", 0.3, 0.3, 0.8, 0.8)])


@pytest.mark.parametrize(
    "setting",
    [
        {"mixup": 0.2}, {"cutmix": 1.0}, {"balanced_sampling": True}, {"epochs": 0},
        {"augment": "photo"}, {"augment": "photo", "min_crop": 1.0},
        {"augment": "photo", "min_crop": 1.0, "policy": "none", "rotation": 10.0},
    ],
)  # fmt: skip
def test_settings_that_boxes_cannot_be_trained_by_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"train\."):
        MODEL.check(TrainConfig(**setting))


def test_images_that_are_not_stretched_are_refused() -> None:
    MODEL.check(TrainConfig(augment="photo", min_crop=1.0, policy="none", color=0.2))
    with pytest.raises(ConfigError, match=r"data\.fit.*squash"):
        TARGET.check(DataConfig(fit="pad"))


def test_answer_is_drawn_over_its_photo_and_nothing_is_written_over(tmp_path: Path) -> None:
    photo, out = tmp_path / "photo.png", tmp_path / "out.png"
    Image.fromarray(np.full((200, 400), 30, np.uint8)).save(photo)
    said = {"predictions": [{"class": "cat", "probability": 0.9, "box": [0.25, 0.5, 0.5, 0.75]}]}
    draw_answer(photo, said, "detection", out)
    drawn = np.asarray(Image.open(out)).astype(int)
    assert drawn.shape == (200, 400, 3)
    colored = np.abs(drawn - drawn.mean(axis=2, keepdims=True)).max(axis=2) > 20
    y, x = np.nonzero(colored)
    assert (x.min(), x.max(), y.min(), y.max()) == (100, 200, 100, 149)
    for wrong, problem in ((out, "there already"), (tmp_path / "out.jpg", "no .png")):
        with pytest.raises(ConfigError, match=problem):
            draw_answer(photo, said, "detection", wrong)
    with pytest.raises(ConfigError, match="classification, which has no 'draw'"):
        draw_answer(photo, {"predictions": []}, "classification", tmp_path / "other.png")


def test_rows_of_an_image_with_more_boxes_than_are_learned_from_are_refused(tmp_path: Path) -> None:
    """Of two rows of 60 boxes each the last 20 boxes were no part of what was learned."""
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png")
    rows = [[["x", 0.0, 0.0, round(0.01 * n, 2), float(half)] for n in range(1, 61)] for half in (0.5, 1)]
    table = ["path,label", *('a.png,"' + json.dumps(row).replace('"', '""') + '"' for row in rows)]
    (tmp_path / "manifest.csv").write_text("\n".join(table))
    with pytest.raises(DataError, match=r"a\.png: 120 boxes; at most 100 are learned from"):
        manifest_rows(tmp_path / "manifest.csv", task="detection")
    many = json.dumps(rows[0] + rows[1])
    with pytest.raises(ValueError, match="120 boxes"):
        TARGET.encode([many], ("x",), 8, 8)
    assert consensus([many]) is None


def test_images_are_grouped_by_their_smallest_box() -> None:
    rows = TARGET.encode(
        ["[]", label_of([("cat", 0, 0, 40, 20)]), label_of([("cat", 0, 0, 40, 20), ("dog", 0, 0, 6, 6)])],
        CLASSES, HIGH, WIDE,
    )  # fmt: skip
    groups = TARGET.cohorts(rows)["object_size"].tolist()
    assert groups[0] == "no object" and groups[1] == "10 % and more" and groups[2] == "under 2 %"
