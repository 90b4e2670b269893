"""Masks as COCO writes them, against pycocotools."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as reference

from linnet.vision.rle import box_of, decode, encode, fill, mask_of, runs_in, runs_of, text_of


def _mask(seed: int, height: int, width: int, share: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    blocks = rng.random((-(-height // 3), -(-width // 3))) < share
    return np.kron(blocks, np.ones((3, 3), bool))[:height, :width] ^ (rng.random((height, width)) < 0.02)


@given(st.integers(0, 2**32 - 1), st.integers(1, 90), st.integers(1, 90), st.floats(0, 1))
@settings(max_examples=150, deadline=None)
def test_text_of_a_mask_is_that_of_pycocotools(seed: int, height: int, width: int, share: float) -> None:
    mask = _mask(seed, height, width, share)
    theirs = reference.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert encode(mask) == theirs["counts"].decode()
    assert (decode(encode(mask), height, width) == mask).all()
    assert (mask_of(runs_of(mask).tolist(), height, width) == mask).all()
    assert box_of(mask) == tuple(reference.toBbox(theirs).astype(int).tolist())


@pytest.mark.parametrize("bits", range(31))
def test_runs_of_every_length_come_back(bits: int) -> None:
    runs = np.array([0, 1 << bits, 3, 1 << (bits // 2), 7, 1])
    assert runs_in(text_of(runs)).tolist() == runs.tolist()


_PLACES = st.floats(-10, 60, allow_nan=False, width=32)


@given(st.lists(st.tuples(_PLACES, _PLACES), min_size=3, max_size=9))
@settings(max_examples=300, deadline=None)
def test_polygon_is_filled_as_by_pycocotools(corners: list[tuple[float, float]]) -> None:
    flat = [value for corner in corners for value in corner]
    assert encode(fill(flat, 40, 50)) == reference.frPyObjects([flat], 40, 50)[0]["counts"].decode()


@pytest.mark.parametrize("text", ["é", "o", "\x01", "P" * 20, "PPPPPPPPPPPPP0"])
def test_text_that_is_no_mask_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="run"):
        decode(text, 4, 4)


def test_runs_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match="16 pixels for a mask of 5 x 4"):
        decode(encode(np.ones((4, 4), bool)), 5, 4)
    with pytest.raises(ValueError, match="three corners"):
        fill([1, 1, 2, 2], 4, 4)
