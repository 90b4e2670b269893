"""An image small enough to stand in a page."""

from __future__ import annotations

import base64

import numpy as np
import numpy.typing as npt

from linnet.vision.decode import color_of, encode_png, resize

SIDE = 112
"""Pixels of the longer side."""


def thumbnail(pixels: npt.NDArray[np.uint8], longest: int = SIDE) -> str:
    """A data URI of an image uint8 [H, W, C], shrunk to at most `longest` pixels a side."""
    height, width, channels = pixels.shape
    scale = min(1.0, longest / max(height, width))
    rows, columns = (max(1, round(side * scale)) for side in (height, width))
    small = resize(pixels, rows, columns, color_of(channels))
    return "data:image/png;base64," + base64.b64encode(encode_png(np.ascontiguousarray(small))).decode()
