"""Masks over the image: tinted, outlined, each with its class."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor, ImageDraw, ImageFont

from linnet.tasks.draw import Pixels
from linnet.tasks.segmentation.masks import parsed, resized
from linnet.vision.rle import Mask

_TINT = 0.25
"""Share of the color within a mask: what is under it is still seen."""
_WORDS = 160
"""Pixels of the longer side from which on classes are written: below, nobody could read them."""


def draw(pixels: Pixels, label: str, color: str) -> Pixels:
    """The image [H, W, 3] with the masks of the label, stretched to it; outlines in full color."""
    height, width, channels = pixels.shape
    shown = np.repeat(pixels, 3, axis=2) if channels == 1 else pixels.copy()
    one, ink = parsed(label), np.array(ImageColor.getrgb(color)[:3], np.float64)
    names = sorted(one.runs)
    indices = resized(one.indices(names), height, width)
    inside, edge = indices > 0, _outline(indices)
    shown[inside] = np.rint(shown[inside] * (1 - _TINT) + ink * _TINT).astype(np.uint8)
    shown[edge] = ink.astype(np.uint8)
    if max(height, width) < _WORDS:
        return shown
    image = Image.fromarray(shown)
    pen, font = ImageDraw.Draw(image), ImageFont.load_default(max(10, max(height, width) // 50))
    for number, name in enumerate(names, 1):
        rows, columns = np.nonzero(indices == number)
        if len(rows):  # the pixel in the middle of the list lies within the mask, as its center may not
            middle = int(columns[len(rows) // 2]), int(rows[len(rows) // 2])
            place = pen.textbbox(middle, name, font=font, anchor="mm")
            pen.rectangle(place, fill=color)
            pen.text(middle, name, fill="black", font=font, anchor="mm")
    return np.asarray(image, np.uint8)


def _outline(indices: npt.NDArray[np.uint8]) -> Mask:
    """Pixels of a class beside one of another class, or of none."""
    padded = np.pad(indices, 1, mode="edge")
    middle = padded[1:-1, 1:-1]
    around = padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
    found: Mask = (middle > 0) & np.any([middle != one for one in around], axis=0)
    return found
