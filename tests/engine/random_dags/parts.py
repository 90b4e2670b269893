"""Components of the random DAGs: pure functions of whole numbers, and two that fail."""

# No `from __future__ import annotations`: kfp reads the annotations themselves.
import warnings
from typing import List

from kfp import dsl

warnings.filterwarnings("ignore", category=FutureWarning, module="kfp")
component = dsl.component(base_image="python:3.11")


@component
def add(a: int, b: int) -> int:
    assert isinstance(a, int) and isinstance(b, int), (a, b)
    return (a + 2 * b) % 11


@component
def soft(a: int = 5) -> int:
    """Has a default: may ignore that what comes before it failed."""
    return a + 1


@component
def digits(word: str, a: int) -> int:
    assert isinstance(word, str), word
    return len(word) + a


@component
def numbers(count: int) -> List[int]:
    return [3 * number for number in range(count % 4)]


@component
def total(values: List[int]) -> int:
    assert isinstance(values, list) and all(isinstance(value, int) for value in values), values
    return sum(values) % 11


@component
def flaky(folder: str, me: str, fails: int, a: int) -> int:
    """Fails the first `fails` times that the task `me` is tried."""
    import os

    file = os.path.join(folder, me)
    tried = os.path.getsize(file) if os.path.exists(file) else 0
    with open(file, "a") as out:
        out.write("x")
    if tried < fails:
        raise RuntimeError(f"try {tried + 1}")
    return a


@component
def fail(a: int) -> int:
    raise RuntimeError(f"always, {a}")


@component
def last(status: dsl.PipelineTaskFinalStatus) -> str:
    return status.state
