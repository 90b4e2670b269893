"""Waits for what a test is about, and no longer: the machine may be busy, or fast."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(look: Callable[[], T], what: str = "", seconds: float = 120.0, every: float = 0.02) -> T:
    """Looks again and again until something true is seen, and returns it.

    `seconds` is how long a busy machine may take; on an idle one it costs what it takes.
    """
    end = time.monotonic() + seconds
    while not (seen := look()):
        assert time.monotonic() < end, f"not within {seconds:g} seconds: {what or look}; last seen: {seen!r}"
        time.sleep(every)
    return seen
