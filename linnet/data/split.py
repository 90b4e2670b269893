"""Which split a sample belongs to: a function of its key, so that it stays where it is as data grow.

A key is 32 hex digits: the sample_id, or one that all samples share which must stand on one side (copies,
near duplicates, a group). Its halves are two independent, uniform 64-bit numbers. Each maps to the unit
interval as `int(half, 16) / 2**64`. The second half decides on the test split (u < test_fraction) where
the dataset has none; the first half divides what is left: [0, validation) validation, [validation,
validation + production) production, the rest train.

In a class of fewer than 200 images chance alone could leave a split without any, or training with too
few. There the order of the same numbers decides: the first `test_fraction` of the class, at least one
sample of two or more, are its test, and so on. As such a class grows, a few samples at the edge of a share
move (about one for five added at 0.2); a class that reaches 200 is divided anew once, and never again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from linnet.config import DataConfig
from linnet.records import Split

_SCALE = float(1 << 64)
_HELD_OUT: dict[str, Split] = {"validation": "validation", "test": "test", "production": "production"}
LARGE_CLASS = 200
"""Images from which a class is divided by the numbers themselves, and no longer by their order."""


@dataclass(frozen=True, slots=True)
class Unit:
    """Samples that stand on one side together."""

    key: str
    """32 hex digits."""
    label: str
    size: int
    """Samples in it."""
    official: str = ""
    """The dataset's own word: a split, or empty."""


def unit_interval(key: str) -> tuple[float, float]:
    """Two independent numbers in [0, 1] from the first and the last 16 hex digits of a key."""
    return int(key[:16], 16) / _SCALE, int(key[16:], 16) / _SCALE


def assign(units: Sequence[Unit], brought: frozenset[str], config: DataConfig) -> list[Split]:
    """The split of each unit.

    Args:
        units: All units of the dataset.
        brought: All official splits that the dataset has; those are not carved out of training again.
        config: The fractions.
    """
    test = 0.0 if "test" in brought else config.test_fraction
    validation = 0.0 if "validation" in brought else config.validation_fraction
    production = 0.0 if "production" in brought else config.production_fraction
    found: list[Split] = ["train"] * len(units)
    classes: dict[str, list[int]] = defaultdict(list)
    for index, unit in enumerate(units):
        held_out = _HELD_OUT.get(unit.official)
        if held_out:
            found[index] = held_out
        else:
            classes[unit.label].append(index)
    for members in classes.values():
        large = sum(units[index].size for index in members) >= LARGE_CLASS
        places = {index: unit_interval(units[index].key) for index in members}
        if not large:
            places = _by_order(units, places, test)
        for index, (first, second) in places.items():
            if second < test:
                found[index] = "test"
            elif first < validation + production:
                found[index] = "validation" if first < validation else "production"
    return found


def _by_order(
    units: Sequence[Unit], places: dict[int, tuple[float, float]], test: float
) -> dict[int, tuple[float, float]]:
    """The same places, evened out: each number becomes its share of the samples that come before it."""
    second = _shares(units, sorted(places, key=lambda index: places[index][1]))
    if test and len(places) > 1 and min(second.values()) >= test:
        second[min(second, key=lambda index: second[index])] = 0.0
    left = [index for index in places if second[index] >= test]
    first = _shares(units, sorted(left, key=lambda index: places[index][0]))
    return {index: (first.get(index, 1.0), second[index]) for index in places}


def _shares(units: Sequence[Unit], order: list[int]) -> dict[int, float]:
    """The middle of each unit on a line of all samples in this order, from 0 to 1."""
    total, before = sum(units[index].size for index in order), 0
    shares = {}
    for index in order:
        shares[index] = (before + units[index].size / 2) / total
        before += units[index].size
    return shares
