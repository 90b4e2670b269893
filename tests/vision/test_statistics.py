"""The one function that training, Feast and the server compute features with."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import linnet.vision.statistics as statistics
from linnet.vision.statistics import FEATURES, image_statistics

SHAPES = st.tuples(st.integers(0, 12), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3]))


def named(image: np.ndarray) -> dict[str, float]:
    return dict(zip(FEATURES, image_statistics(image[None])[0].tolist(), strict=True))


def gray(rows: list[list[int]]) -> np.ndarray:
    return np.array(rows, np.uint8)[:, :, None]


@settings(max_examples=150, deadline=None)
@given(SHAPES.flatmap(lambda shape: hnp.arrays(np.uint8, shape)))
def test_batch_of_one_equals_batch_of_many_bitwise(images: np.ndarray) -> None:
    together = image_statistics(images)
    assert together.dtype == np.float32
    assert together.shape == (len(images), len(FEATURES))
    assert np.isfinite(together).all()
    alone = [image_statistics(image[None]) for image in images]
    assert together.tobytes() == b"".join(row.tobytes() for row in alone)


def test_batches_are_cut_without_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.default_rng(0).integers(0, 256, (501, 28, 28, 1), np.uint8)
    whole = image_statistics(images)
    monkeypatch.setattr(statistics, "_BATCH_PIXELS", 7 * 28 * 28)
    assert image_statistics(images).tobytes() == whole.tobytes()


def test_view_and_fortran_order_give_the_same_bits_as_a_copy() -> None:
    images = np.random.default_rng(0).integers(0, 256, (20, 30, 30, 3), np.uint8)
    view = images[::2, 1:-1, ::-1]
    assert image_statistics(view).tobytes() == image_statistics(view.copy()).tobytes()
    assert image_statistics(np.asfortranarray(view)).tobytes() == image_statistics(view.copy()).tobytes()


def test_half_black_half_white_has_known_values() -> None:
    values = named(gray([[0, 255], [0, 255]]))
    assert values == {
        "brightness": 0.5,
        "contrast": 0.5,
        "p10": 0.0,
        "p50": 0.0,  # the lower median
        "p90": 1.0,
        "entropy": 1.0,
        "ink": 0.5,
        "edge_horizontal": 1.0,
        "edge_vertical": 0.0,
        "center_horizontal": 0.75,
        "center_vertical": 0.5,
        "asymmetry": 1.0,
    }


def test_four_equal_shares_have_two_bits_of_entropy() -> None:
    values = named(gray([[0, 10], [31, 32]]))
    assert values["entropy"] == 2.0
    assert values["ink"] == 0.25
    assert values["brightness"] == np.float32(73 / (4 * 255))
    assert values["edge_vertical"] == np.float32((31 + 22) / (2 * 255))


def test_percentiles_are_the_values_of_the_ranks() -> None:
    values = named(gray([list(range(1, 11))]))
    assert [values[name] for name in ("p10", "p50", "p90")] == [np.float32(n / 255) for n in (1, 5, 9)]


def test_black_image_has_its_centre_in_the_middle_and_nothing_else() -> None:
    values = named(np.zeros((5, 7, 1), np.uint8))
    assert (values.pop("center_horizontal"), values.pop("center_vertical")) == (0.5, 0.5)
    assert set(values.values()) == {0.0}


@pytest.mark.parametrize(
    ("color", "luma"), [((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29), ((255, 255, 255), 255)]
)
def test_color_is_weighed_as_luma(color: tuple[int, int, int], luma: int) -> None:
    # ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B, rounded
    image = np.full((4, 4, 3), color, np.uint8)
    assert named(image)["brightness"] == np.float32(luma / 255)


def test_gray_as_three_equal_channels_gives_the_same_statistics() -> None:
    image = np.random.default_rng(1).integers(0, 256, (9, 9, 1), np.uint8)
    assert named(image) == named(np.repeat(image, 3, axis=2))


def test_contrast_equals_the_standard_deviation() -> None:
    images = np.random.default_rng(2).integers(0, 256, (50, 13, 17, 1), np.uint8)
    expected = (images / 255.0).std(axis=(1, 2, 3))
    assert np.allclose(image_statistics(images)[:, FEATURES.index("contrast")], expected, atol=1e-6)


def test_largest_image_neither_overflows_nor_leaves_its_range() -> None:
    white = named(np.full((1024, 1024, 1), 255, np.uint8))
    assert (white["brightness"], white["contrast"], white["entropy"], white["ink"]) == (1.0, 0.0, 0.0, 1.0)
    noise = np.random.default_rng(3).integers(0, 256, (1, 1024, 1024, 3), np.uint8)
    values = image_statistics(noise)[0]
    assert 7.0 < values[FEATURES.index("entropy")] <= 8.0
    rest = np.delete(values, FEATURES.index("entropy"))
    assert ((rest >= 0) & (rest <= 1)).all()


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((2, 4, 4), np.uint8), np.zeros((2, 4, 4, 2), np.uint8), np.zeros((2, 4, 4, 1), np.float32)],
)
def test_other_shapes_and_types_are_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"images must be uint8 \[N, H, W, 1 or 3\]"):
        image_statistics(wrong)
