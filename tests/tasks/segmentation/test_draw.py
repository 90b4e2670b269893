"""Masks drawn over their images."""

from __future__ import annotations

import numpy as np
import pytest

from linnet.tasks.segmentation.draw import draw
from linnet.tasks.segmentation.masks import of_indices, text_of
from tests.tasks.segmentation.scenes import CLASSES


@pytest.mark.parametrize("channels", [1, 3])
def test_masks_are_tinted_and_outlined_where_they_are(channels: int) -> None:
    indices = np.zeros((20, 30), np.uint8)
    indices[5:15, 5:15], indices[5:15, 15:25] = 1, 2
    gray = np.full((40, 60, channels), 100, np.uint8)
    found = draw(gray, of_indices(indices, CLASSES).text, "red")
    assert found.shape == (40, 60, 3) and (gray == 100).all()
    red = (found == (255, 0, 0)).all(axis=2)
    assert red[10, 10:50].all() and red[10:30, 29:31].all(), "the border of two classes, too"
    assert not red[12:28, 12:28].any() and (found[20, 20] == (139, 75, 75)).all()
    outside = np.ones((40, 60), bool)
    outside[10:30, 10:50] = False
    assert (found[outside] == 100).all()
    assert (draw(gray, text_of(1, 1, {}), "red") == 100).all()


def test_classes_are_written_into_large_images() -> None:
    indices = np.zeros((200, 200), np.uint8)
    indices[20:180, 20:180] = 3
    found = draw(np.full((200, 200, 3), 250, np.uint8), of_indices(indices, CLASSES).text, "orange")
    written = (found[22:178, 22:178] < 90).all(axis=2)
    assert 5 < written.sum() < 2000
