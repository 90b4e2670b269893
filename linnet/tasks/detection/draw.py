"""Boxes over the image, each with its class."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from linnet.tasks.detection.boxes import boxes_of
from linnet.tasks.draw import Pixels

_THICK = 300
"""Pixels of the longer side for each pixel of a line."""
_WORDS = 160
"""Pixels of the longer side from which on classes are written: below, nobody could read them."""


def draw(pixels: Pixels, label: str, color: str) -> Pixels:
    """The image [H, W, 3] with a frame around each object of the label."""
    height, width, channels = pixels.shape
    image = Image.fromarray(np.ascontiguousarray(np.repeat(pixels, 3, axis=2) if channels == 1 else pixels))
    pen, longest = ImageDraw.Draw(image), max(height, width)
    line = max(1, longest // _THICK)
    font = ImageFont.load_default(max(10, longest // 50))
    for box in boxes_of(label):
        left, top = round(box.left * (width - 1)), round(box.top * (height - 1))
        right, bottom = round(box.right * (width - 1)), round(box.bottom * (height - 1))
        pen.rectangle((left, top, right, bottom), outline=color, width=line)
        if longest >= _WORDS:
            place = pen.textbbox((left + line, top + line), box.name, font=font)
            pen.rectangle(place, fill=color)
            pen.text((left + line, top + line), box.name, fill="black", font=font)
    return np.asarray(image, np.uint8)
