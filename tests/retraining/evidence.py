"""Evidence for the policy's tests: windows of an hour, of which the last may violate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from linnet.records import Interval, RetrainingEvidence, WindowFinding

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
LOST = Interval(value=0.12, low=0.09, high=0.15)
ACCURACY = Interval(value=0.80, low=0.77, high=0.83)


def window(number: int, **changes: Any) -> WindowFinding:
    values: dict[str, Any] = {
        "start": NOON + number * HOUR, "end": NOON + (number + 1) * HOUR, "version": "1", "violates": True,
        "accuracy": ACCURACY, "labelled": 500, "loss": LOST,
    }  # fmt: skip
    return WindowFinding(**(values | changes))


def evidence(violating: str = "vvvvv", **changes: Any) -> RetrainingEvidence:
    """A letter a window, oldest first: v violates, r violates during a rollout, 2 was served by another
    version, anything else is fine."""
    windows = tuple(
        window(number, violates=letter in "vr2", rollout=letter == "r", version="2" if letter == "2" else "1")
        for number, letter in enumerate(violating)
    )
    values: dict[str, Any] = {
        "model": "tiny", "champion": "1", "trained_until": NOON, "windows": windows, "new_labels": 1000,
    }  # fmt: skip
    return RetrainingEvidence(**(values | changes))
