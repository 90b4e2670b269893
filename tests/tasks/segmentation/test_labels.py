"""Masks as people and tools give them: Label Studio's brush, COCO's polygons and runs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.tasks.label_form import CANNOT_TELL, BadAnswer, label_form_of
from linnet.tasks.segmentation.label_form import NOTHING, label_form
from linnet.tasks.segmentation.masks import of_indices
from linnet.tasks.segmentation.target import TARGET
from linnet.vision import brush, rle
from tests.tasks.segmentation.scenes import CLASSES, maps


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.floats(0, 1))
@settings(max_examples=60, deadline=None)
def test_brush_is_that_of_label_studio(seed: int, height: int, width: int, share: float) -> None:
    from label_studio_sdk.converter.brush import decode_rle, encode_rle  # loads NLTK: a second

    mask = np.random.default_rng(seed).random((height, width)) < share
    theirs = decode_rle(brush.encode(mask)).reshape(height, width, 4)[:, :, 3] > 0
    assert (theirs == mask).all()
    assert (brush.decode(encode_rle(np.repeat(mask.ravel() * 255, 4)), height, width) == mask).all()


def test_brush_that_is_damaged_or_of_another_size_is_refused() -> None:
    good = brush.encode(np.eye(9, dtype=bool))
    for wrong in ([], good[:3], good[:-3], [999], [0] * 12):
        with pytest.raises(ValueError, match="brush"):
            brush.decode(wrong, 9, 9)
    with pytest.raises(ValueError, match="324 values for an image of 9 x 8"):
        brush.decode(good, 9, 8)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_form_gives_back_what_it_suggests(seed: int) -> None:
    form = label_form_of("segmentation", CLASSES)
    text = of_indices(maps(1, seed=seed)[0], CLASSES).text
    said = form.prediction(text, 0.8, "7")
    assert said["score"] == 0.8 and form.answer({"result": said["result"]}) == ("label", text)


def test_answers_that_say_nothing_usable_are_told() -> None:
    form = label_form(CLASSES)
    stroke = form.prediction(of_indices(np.eye(4, dtype=np.uint8), CLASSES).text, 1.0, "")["result"][0]
    whole = {"from_name": "whole", "type": "choices", "value": {"choices": [CANNOT_TELL]}}
    assert form.answer({"result": [whole]}) == ("cannot_tell", "")
    assert form.answer({"was_cancelled": True, "result": []}) == ("skipped", "")
    hat = {**stroke, "value": {**stroke["value"], "brushlabels": ["hat"]}}
    other = {**stroke, "original_width": 5}
    nothing = {**stroke, "value": {**stroke["value"], "rle": brush.encode(np.zeros((4, 4), np.bool_))}}
    for wrong, problem in (
        ([], "no label"),
        ([stroke, whole], "at once"),
        ([hat], "no class 'hat'"),
        ([{**stroke, "value": {**stroke["value"], "brushlabels": []}}], "a stroke with 0 classes, not one"),
        ([{**stroke, "value": {**stroke["value"], "brushlabels": ["hat", "hat"]}}], "with 2 classes"),
        ([nothing], "an empty stroke of"),
        ([stroke, nothing], "an empty stroke of"),
        ([other], "64 values for an image of 4 x 5"),
        ([stroke, other], "one size"),
    ):
        with pytest.raises(BadAnswer, match=problem):
            form.answer({"result": wrong})
    parsed = {
        "label": {"type": "BrushLabels", "labels": list(CLASSES)},
        "whole": {"type": "Choices", "labels": [NOTHING, CANNOT_TELL]},
    }
    assert form.fits(parsed) == ""
    assert "BrushLabels" in form.fits({}) and "lacks" in label_form((*CLASSES, "hat")).fits(parsed)


def test_objects_of_coco_become_a_label_and_what_is_wrong_is_told() -> None:
    mask = np.zeros((6, 8), bool)
    mask[2:4, 3:7] = True
    runs = {"size": [6, 8], "counts": rle.encode(mask)}
    polygon = [[3.0, 2.0, 7.0, 2.0, 7.0, 4.0, 3.0, 4.0]]
    for given_as in (runs, {**runs, "counts": rle.runs_of(mask).tolist()}, polygon):
        label = TARGET.of_objects([("bag", {"segmentation": given_as})], 6, 8)
        assert (TARGET.encode([label], ("bag",), 6, 8)[0] == mask).all()
    assert TARGET.classes(TARGET.of_objects([], 6, 8)) == ()
    for wrong, problem in (
        ({"bbox": [1, 1, 2, 2]}, "without a segmentation"),
        ({"segmentation": {**runs, "size": [8, 6]}}, r"size \[8, 6\], and the image is 6 x 8"),
        ({"segmentation": {"size": [6, 8], "counts": 3}}, "neither numbers nor a text"),
        ({"segmentation": [[1, 2]]}, "three corners"),
        ({"segmentation": [[1, 2, 3, "x", 4, 5]]}, "no number"),
        ({"segmentation": {"size": [6, 8], "counts": [48]}}, "empty mask"),
    ):
        with pytest.raises(ValueError, match=problem):
            TARGET.of_objects([("bag", wrong)], 6, 8)
    assert "6 x 8 pixels, and the image 8 x 6" in TARGET.misfit(label, 8, 6)
