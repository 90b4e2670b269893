"""A label drawn over its image, for people; numpy and Pillow, and no server."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from linnet.tasks.parts import part

DYNAMIC_IMPORTS = ("linnet.tasks.*.draw",)
Pixels = npt.NDArray[np.uint8]
Draw = Callable[[Pixels, str, str], Pixels]
"""Of an image uint8 [H, W, C], a label and a color as Pillow names it: the image [H, W, 3] with the label."""


def draw_of(task: str) -> Draw:
    """How the labels of a task are drawn.

    Raises:
        ConfigError: the task is unknown, or its labels say nothing of places.
    """
    found: Draw = part(task, "draw").draw
    return found
