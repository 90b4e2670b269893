"""An answer as a PNG."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from linnet.tasks.parts import TASKS
from linnet.tasks.picture import picture_of
from tests.tasks.segmentation.scenes import maps, output


def test_picture_holds_the_class_of_each_pixel_and_colors_for_people() -> None:
    picture = picture_of("segmentation")
    assert picture is not None
    for named in (*maps(5), np.full((3, 7), 254, np.uint8)):
        found = Image.open(io.BytesIO(picture(output(named[None])[0])))
        assert found.mode == "P" and (np.asarray(found) == named).all()
        assert found.info["transparency"] == 0
    shown = np.asarray(
        Image.open(io.BytesIO(picture(output(np.arange(9, dtype=np.uint8)[None, None])[0]))).convert("RGB")
    )
    assert len({tuple(color) for color in shown[0].tolist()}) == 9


def test_answers_of_other_tasks_are_no_pictures() -> None:
    assert {task for task in TASKS if picture_of(task)} == {"segmentation"}
