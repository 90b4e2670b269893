"""What an export of Label Studio does not say of an image is never taken for "nothing is there"."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from linnet.data.layout import understand
from linnet.errors import DataError
from linnet.tasks.detection.label_form import NO_OBJECT
from linnet.tasks.label_form import CANNOT_TELL, WHOLE
from linnet.tasks.target import target_of
from tests.data.layouts import fill

SIZE = {"original_width": 640, "original_height": 480}
Result = dict[str, Any]


def region(kind: str, name: str, **value: Any) -> Result:
    place = {"x": 10, "y": 10, "width": 30, "height": 30, **value}
    return {"type": kind, "value": {**place, kind: [name]}, **SIZE}


def whole(name: str) -> Result:
    return {"from_name": WHOLE, "type": "choices", "value": {"choices": [name]}}


def box(name: str) -> Result:
    return region("rectanglelabels", name)


def answered(*results: Result, **more: Any) -> list[dict[str, Any]]:
    return [{"result": list(results), **more}]


def write(root: Path, annotations: list[list[dict[str, Any]]]) -> None:
    names = fill(root, "media", len(annotations))
    tasks = [
        {"id": n, "data": {"image": name}, "annotations": each}
        for n, (name, each) in enumerate(zip(names, annotations, strict=True))
    ]
    (root / "export.json").write_text(json.dumps(tasks))


@pytest.mark.parametrize("task", ["", "detection", "multilabel"])
def test_image_that_nobody_answered_is_counted_and_shows_nobody_nothing(task: str, tmp_path: Path) -> None:
    """Skipped, not yet opened, and "cannot tell" were images without any object."""
    skipped, unopened, unsure = answered(was_cancelled=True), [], answered(whole(CANNOT_TELL))
    empty, said_empty = answered(), answered(whole(NO_OBJECT))
    several = [*answered(box("cat")), *answered(was_cancelled=True)]
    write(
        tmp_path,
        [answered(box("cat")), answered(box("dog")), skipped, unopened, unsure, empty, said_empty, several],
    )
    found = understand(tmp_path, task=task)
    said = {image.path.stem: target_of(found.task).classes(image.label) for image in found.images}
    assert said == {"000": ("cat",), "001": ("dog",), "005": (), "006": (), "007": ("cat",)}
    reason = "without an answer in the Label Studio export"
    assert [item.origin for item in found.left_out if item.reason == reason] == [
        f"media/{n:03}.png" for n in (2, 3, 4)
    ]
    assert len(found.left_out) == 3


@pytest.mark.parametrize("kind", ["ellipselabels", "labels", "keypointlabels", "vectorlabels"])
@pytest.mark.parametrize("alone", [True, False])
def test_region_of_a_kind_that_is_not_read_is_refused_with_its_image(
    kind: str, alone: bool, tmp_path: Path
) -> None:
    """The image became one without any object, or lost one of its objects."""
    odd = answered(region(kind, "dog"), *([] if alone else [box("cat")]))
    write(tmp_path, [*([answered(box("cat"))] * 20), answered(box("dog")), odd])
    for task in ("", "detection"):
        with pytest.raises(DataError, match=r"(?s)1 image\(s\) have no usable label.*021\.png: .*dog"):
            understand(tmp_path, task=task)
    found = understand(tmp_path, task="multilabel")
    assert found.images[21].label == ("dog" if alone else "cat|dog")  # where it is, nobody asks


def test_region_without_a_class_is_refused_with_its_image(tmp_path: Path) -> None:
    bare = {"id": "a", "type": "rectangle", "value": {"x": 10, "y": 10, "width": 30, "height": 30}, **SIZE}
    write(tmp_path, [answered(box("cat")), answered(box("dog")), answered(bare)])
    for task in ("", "detection", "multilabel"):
        with pytest.raises(DataError, match=r"(?s)002\.png: something is marked without a class"):
            understand(tmp_path, task=task)
    named = region("labels", "dog") | {"id": "a"}
    write(tmp_path, [answered(box("cat")), answered(box("dog")), answered(bare, named)])
    assert understand(tmp_path, task="multilabel").images[2].label == "dog"
