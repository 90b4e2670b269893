"""An answer drawn over the image that it is about: `linnet predict --draw`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from linnet.config import DataConfig
from linnet.errors import ConfigError
from linnet.storage.files import replacing
from linnet.tasks.answer import answer_of
from linnet.tasks.draw import draw_of
from linnet.vision.decode import encode_png, read_image

_COLOR = "orange"


def draw_answer(image: Path, answer: dict[str, Any], task: str, out: Path) -> None:
    """Writes a PNG of the image, in its own size, with what was answered.

    Raises:
        ConfigError: `out` is there already or no .png, or answers of the task say nothing of places.
    """
    if out.suffix.lower() != ".png" or out.exists():
        problem = "is there already" if out.exists() else "is no .png file"
        raise ConfigError("--draw", f"{out} {problem}", "name a new .png file")
    draw, label = draw_of(task), answer_of(task, ()).said(answer["predictions"])
    limits = DataConfig()
    pixels = read_image(image.read_bytes(), str(image), limits.max_pixels, limits.max_image_mb).pixels
    with replacing(out) as scratch:
        scratch.write_bytes(encode_png(draw(pixels, label, _COLOR)))
