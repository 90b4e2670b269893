"""An answer as an image, where a task's answers are one: numpy and Pillow, because the server asks it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec

from linnet.tasks.answer import Output
from linnet.tasks.parts import part

DYNAMIC_IMPORTS = ("linnet.tasks.*.picture",)
Picture = Callable[[Output], bytes]
"""The PNG of a row of output."""


@lru_cache
def picture_of(task: str) -> Picture | None:
    """How the answers of a task become images; None: they are none.

    Raises:
        ConfigError: the task is unknown.
    """
    if find_spec(f"linnet.tasks.{task}") and not find_spec(f"linnet.tasks.{task}.picture"):
        return None
    found: Picture = part(task, "picture").picture
    return found
