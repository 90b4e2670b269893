"""Each pixel's class as a PNG of a palette, which a folder of index masks is made of."""

from __future__ import annotations

import io
from colorsys import hsv_to_rgb

import numpy as np
from PIL import Image

from linnet.tasks.answer import Output
from linnet.tasks.segmentation.answer import CLASS
from linnet.tasks.segmentation.masks import MOST_CLASSES

_GOLDEN = 0.618034
"""Of a turn of the circle of hues from a class to the next: all that follow one another are far apart."""


def picture(row: Output) -> bytes:
    """The value of a pixel is 0 for background, k + 1 for the class k; colors are for people alone."""
    image = Image.fromarray(np.nan_to_num(row[CLASS]).astype(np.uint8)).convert("P")
    image.putpalette(_palette())
    found = io.BytesIO()
    image.save(found, "PNG", transparency=0)
    return found.getvalue()


def _palette() -> list[int]:
    """Background is black, and transparent where a reader knows that."""
    colors = [hsv_to_rgb(number * _GOLDEN % 1, 0.75, 0.95) for number in range(MOST_CLASSES)]
    return [0, 0, 0, *(round(255 * part) for color in colors for part in color)]
