"""What is drawn from very many is spread over all of them, and out of step with what recurs."""

from __future__ import annotations

import numpy as np
import pytest

from linnet.statistics.spread import spread


@pytest.mark.parametrize(
    ("total", "most"), [(0, 5), (5, 5), (6, 5), (1_000, 7), (96 * 96, 96), (2_000_001, 1_000)]
)
def test_places_are_as_many_as_wanted_and_lie_in_equal_parts(total: int, most: int) -> None:
    found = spread(total, most)
    assert len(found) == min(total, most) and (np.diff(found) > 0).all()
    if total > most:
        assert np.array_equal(
            np.searchsorted(np.arange(most + 1) * total // most, found, "right"), 1 + np.arange(most)
        )
    assert np.array_equal(found, spread(total, most)), "the same each time"


def test_what_recurs_is_not_fallen_into_step_with() -> None:
    columns = spread(96 * 96, 96) % 96
    assert len(set(columns.tolist())) > 50, "every 96th pixel is one column"
