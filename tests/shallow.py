"""Calls from a stack of their own."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def shallow(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls from a fresh thread.

    kfp asks for the whole stack, with source lines, at each step of a pipeline (`inspect.stack`), and
    pytest's is deep: a pipeline takes 0.2 s from here and 1 to 5 s from a test.
    """
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work, *args, **kwargs).result()
