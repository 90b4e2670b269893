"""Masks of files, read to the pixel: index images, COCO's runs, Label Studio's brushes and outlines."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from linnet.data.layout import understand
from linnet.errors import DataError
from linnet.tasks.segmentation.label_form import label_form
from linnet.tasks.segmentation.masks import of_indices, parsed
from linnet.tasks.segmentation.target import TARGET
from tests.tasks.segmentation.scenes import CLASSES, maps

SIDE = 24
TRUTH = maps(40, SIDE, seed=11)
LABELS = [of_indices(one, CLASSES).text for one in TRUTH]


def _pictures(root: Path, where: str = "") -> None:
    (root / where).mkdir(parents=True, exist_ok=True)
    for n in range(len(TRUTH)):
        gray = np.random.default_rng(n).integers(0, 255, (SIDE, SIDE), np.uint8)
        Image.fromarray(gray).save(root / where / f"{n:02d}.png")


def write_index_masks(root: Path) -> None:
    _pictures(root, "images")
    (root / "masks").mkdir()
    for n, one in enumerate(TRUTH):
        Image.fromarray(one).save(root / "masks" / f"{n:02d}.png")
    (root / "classes.txt").write_text("\n".join(CLASSES))


def write_coco(root: Path) -> None:
    _pictures(root)
    sized = {"height": SIDE, "width": SIDE}
    images = [{"id": n, "file_name": f"{n:02d}.png", **sized} for n in range(len(TRUTH))]
    marked = []
    for n, one in enumerate(TRUTH):
        for k in sorted(set(one.ravel().tolist()) - {0}):
            runs: Any = coco_mask.encode(np.asfortranarray(one == k))
            about = {"size": runs["size"], "counts": runs["counts"].decode()}
            marked.append({"id": len(marked), "image_id": n, "category_id": k - 1, "segmentation": about})
    names = [{"id": k, "name": name} for k, name in enumerate(CLASSES)]
    content = {"images": images, "annotations": marked, "categories": names}
    (root / "instances.json").write_text(json.dumps(content))


def _tasks(results: list[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return [
        {"id": n, "data": {"image": f"{n:02d}.png"}, "annotations": [{"result": result}]}
        for n, result in enumerate(results)
    ]


def _strokes(label: str) -> list[dict[str, Any]]:
    results: list[dict[str, Any]] = label_form(CLASSES).prediction(label, 1.0, "")["result"]
    return results if parsed(label).runs else []


def write_brushes(root: Path) -> None:
    _pictures(root)
    (root / "project.json").write_text(json.dumps(_tasks([_strokes(label) for label in LABELS])))


@pytest.mark.parametrize("write", [write_index_masks, write_coco, write_brushes])
def test_masks_of_files_are_read_to_the_pixel(write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path)
    named = write is write_index_masks  # which nothing but a config can tell from folders of classes
    found = understand(tmp_path, layout="masks" if named else "auto", task="segmentation" if named else "")
    assert found.task == "segmentation"
    said = {image.path.stem: image.label for image in found.images}
    for n, (label, truth) in enumerate(zip(LABELS, TRUTH, strict=True)):
        if truth.any():
            assert said[f"{n:02d}"] == label
        else:
            assert parsed(said[f"{n:02d}"]).runs == {}
    assert sum(not truth.any() for truth in TRUTH) >= 2


def _outline(points: list[list[float]], name: str) -> dict[str, Any]:
    size = {"original_height": SIDE, "original_width": SIDE * 2}
    return {"type": "polygonlabels", "value": {"points": points, "polygonlabels": [name]}, **size}


def test_outlines_of_label_studio_are_filled_in_pixels_of_their_image(tmp_path: Path) -> None:
    _pictures(tmp_path)
    square = [[25.0, 25.0], [75.0, 25.0], [75.0, 50.0], [25.0, 50.0]]
    results = [[_outline(square, CLASSES[n % 2])] for n in range(4)]
    (tmp_path / "project.json").write_text(json.dumps(_tasks(results)))
    found = understand(tmp_path)
    assert found.task == "segmentation"
    one = parsed(found.images[0].label)
    wanted = np.zeros((SIDE, SIDE * 2), bool)
    wanted[6:12, 12:36] = True
    assert (one.height, one.width) == (SIDE, SIDE * 2) and (one.mask(CLASSES[0]) == wanted).all()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        ({"original_height": None}, "an image of no size"),
        ({"original_width": SIDE + 1}, r"a brush of 2304 values for an image of 24"),
        ({"value": {"brushlabels": [CLASSES[0]], "rle": [0, 1]}}, "runs of a brush|a brush of"),
    ],
)
def test_brush_that_is_damaged_is_told_with_its_image(
    damage: dict[str, Any], problem: str, tmp_path: Path
) -> None:
    _pictures(tmp_path)
    results = [_strokes(label) for label in LABELS]
    place = next(n for n, result in enumerate(results) if result)
    results[place] = [results[place][0] | damage]
    (tmp_path / "project.json").write_text(json.dumps(_tasks(results)))
    with pytest.raises(DataError) as caught:
        understand(tmp_path, task="segmentation")
    told = str(caught.value)
    assert f"{place:02d}.png" in told
    assert re.search(problem, told), told


def _square(name: str, left: int, right: int) -> dict[str, Any]:
    return _outline([[left, 25.0], [right, 25.0], [right, 75.0], [left, 75.0]], name)


def test_class_that_is_hidden_under_a_later_one_is_refused_with_its_image(tmp_path: Path) -> None:
    """It disappeared from the image's label."""
    _pictures(tmp_path)
    small, large = _square(CLASSES[0], 40, 50), _square(CLASSES[1], 25, 75)
    (tmp_path / "project.json").write_text(json.dumps(_tasks([[large, small], [small, large]])))
    with pytest.raises(DataError, match=rf"01\.png: '{CLASSES[0]}' lies wholly under"):
        understand(tmp_path)
    (tmp_path / "project.json").write_text(
        json.dumps(_tasks([[large, small], [_square(CLASSES[0], 20, 50), large]]))
    )
    assert [tuple(parsed(image.label).runs) for image in understand(tmp_path).images] == [CLASSES[:2]] * 2


def test_rows_of_an_image_that_hide_a_class_are_no_label() -> None:
    small, large = np.zeros((SIDE, SIDE), np.uint8), np.full((SIDE, SIDE), 2, np.uint8)
    small[3:5, 3:5] = 1
    labels = [of_indices(one, CLASSES).text for one in (small, large)]
    with pytest.raises(ValueError, match=f"'{CLASSES[0]}' lies wholly under"):
        TARGET.joined(labels)
    assert set(TARGET.classes(TARGET.joined(labels[::-1]))) == set(CLASSES[:2])
