"""The text of a segmentation, and what agrees with what."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linnet.tasks.segmentation.agree import agreement, consensus
from linnet.tasks.segmentation.masks import of_indices, of_masks, read, resized
from linnet.tasks.segmentation.target import TARGET
from linnet.tasks.target import UnknownClass
from tests.tasks.segmentation.scenes import CLASSES, maps


@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=100, deadline=None)
def test_map_comes_back_from_its_text_and_equal_maps_are_equal_texts(
    seed: int, height: int, width: int
) -> None:
    indices = np.random.default_rng(seed).integers(0, 4, (height, width)).astype(np.uint8)
    text = of_indices(indices, CLASSES).text
    assert (read(text).indices(CLASSES) == indices).all() and read(text).text == text
    assert TARGET.decode(TARGET.encode([text], CLASSES, height, width)[0], CLASSES) == text
    shuffled = dict(reversed(json.loads(text)["masks"].items()))
    assert read(json.dumps({"masks": shuffled, "size": [height, width]}, indent=1)).text == text


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("bag", "no segmentation"),
        ("", "no segmentation"),
        ("[1]", "no segmentation"),
        ('{"size":[2],"masks":{}}', "no segmentation"),
        ('{"size":[2,2.5],"masks":{}}', "size and masks alone"),
        ('{"size":[2,2],"masks":{"bag":7}}', "masks are no texts"),
        ('{"size":[2,2],"masks":{},"more":1}', "size and masks alone"),
        ('{"size":[0,2],"masks":{}}', "0 x 2 pixels"),
        ('{"size":[100000,100000],"masks":{}}', "100000 x 100000 pixels"),
        ('{"size":[2,2],"masks":{"bag":"4"}}', "an empty mask of 'bag'"),
        ('{"size":[3,2],"masks":{"bag":"04"}}', "'bag' that does not have 3 x 2 pixels"),
        ('{"size":[2,2],"masks":{"bag":"04","shoe":"13"}}', "two classes claim"),
    ],
)
def test_text_that_is_no_segmentation_is_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        read(text)


def test_encoded_labels_are_brought_to_the_size_of_the_images() -> None:
    indices = maps(1, side=24, seed=3)[0]
    found = TARGET.encode([of_indices(indices, CLASSES).text], CLASSES, 12, 48)
    assert found.shape == (1, 12, 48) and (found[0] == np.kron(indices[1::2], [[1, 1]])).all()
    assert (resized(np.kron(indices, np.ones((3, 3), np.uint8)), 24, 24) == indices).all()
    with pytest.raises(UnknownClass, match="hat"):
        TARGET.encode([of_indices(np.full((4, 4), 2, np.uint8), ("bag", "hat")).text], CLASSES, 24, 24)
    assert TARGET.problem(found, 3) == "" and "no maps" in TARGET.problem(found[0], 3)
    assert "no class" in TARGET.problem(found + 3, 3)


def test_classes_of_maps_are_counted_an_image_at_a_time() -> None:
    found = maps(30, seed=1)
    wanted = np.array([[(one == k).any() for k in (1, 2, 3)] for one in found])
    assert (TARGET.matrix(found, 3) == wanted).all() and (TARGET.counts(found, 3) == wanted.sum(axis=0)).all()
    none = ~wanted.any(axis=1)
    groups = TARGET.groups(found)
    assert none.any() and (groups[none] == 3).all() and wanted[np.flatnonzero(~none), groups[~none]].all()


def test_objects_cover_those_before_them_and_shared_pixels_are_counted() -> None:
    low, high = np.zeros((2, 4, 4), bool)
    low[:3], high[2:] = True, True
    found, claimed = of_masks([("shoe", low), ("bag", high)], 4, 4)
    assert claimed == 4 and found.mask("bag").sum() == 8 and found.mask("shoe").sum() == 8
    assert of_masks([("bag", low), ("bag", high)], 4, 4)[1] == 0


def test_agreement_is_the_mean_dice_of_classes_that_either_names() -> None:
    empty = of_indices(np.zeros((4, 4), np.uint8), CLASSES).text
    half = np.zeros((4, 4), np.uint8)
    half[:2] = 1
    quarter = half.copy()
    quarter[1] = 2
    one, other = of_indices(half, CLASSES).text, of_indices(quarter, CLASSES).text
    assert agreement(empty, empty) == 1 and agreement(one, one) == 1 and agreement(one, empty) == 0
    assert agreement(one, other) == agreement(other, one) == pytest.approx((2 * 4 / 12 + 0) / 2)
    assert agreement(one, of_indices(np.kron(half, np.ones((3, 3), np.uint8)), CLASSES).text) == 1
    assert consensus([one, one, other]) == one
    assert consensus([one, of_indices(np.flipud(half), CLASSES).text]) is None


def test_images_are_grouped_by_the_class_that_covers_least_of_them() -> None:
    found = np.zeros((4, 10, 10), np.uint8)
    found[1:, :5] = 1
    found[2:, 9, :5] = 2
    found[3, 0, 0] = 3
    groups = TARGET.cohorts(found)["object_size"].tolist()
    assert groups == ["no object", "10 % and more", "2 to 10 %", "under 2 %"]
    assert TARGET.cohorts(found[:0])["object_size"].shape == (0,)
    assert TARGET.cohorts(found[:1])["object_size"].tolist() == ["no object"]
