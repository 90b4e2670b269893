"""Which split a sample belongs to: a pure function of its id, so that it never moves.

`sample_id` is 32 hex digits of a blake2b digest, so its halves are two independent, uniform 64-bit
numbers. Each maps to the unit interval as `int(half, 16) / 2**64`. The second half decides on the
test split (u < test_fraction) where the dataset has none; the first half divides what is left:
[0, validation) validation, [validation, validation + production) production, the rest train. As
data grows a sample stays where it was, and equal pixels can never straddle two splits.
"""

from __future__ import annotations

from linnet.config import DataConfig
from linnet.records import Split

_SCALE = float(1 << 64)


def unit_interval(sample_id: str) -> tuple[float, float]:
    """Two independent numbers in [0, 1] from the first and the last 16 hex digits of a sample id."""
    return int(sample_id[:16], 16) / _SCALE, int(sample_id[16:], 16) / _SCALE


def assign(sample_id: str, official: str, brought: frozenset[str], config: DataConfig) -> Split:
    """The split of a sample.

    Args:
        sample_id: 32 hex digits.
        official: The dataset's own word: a split, or empty.
        brought: All official splits that the dataset has; those are not carved out of training again.
        config: The fractions.
    """
    if official in ("validation", "test", "production"):
        return official  # type: ignore[return-value]
    first, second = unit_interval(sample_id)
    if "test" not in brought and second < config.test_fraction:
        return "test"
    validation = 0.0 if "validation" in brought else config.validation_fraction
    production = 0.0 if "production" in brought else config.production_fraction
    if first < validation:
        return "validation"
    return "production" if first < validation + production else "train"
