"""The comparison of the skew audit."""

from __future__ import annotations

import numpy as np
import pytest

from linnet.features.audit import Difference, differences

FEATURES = ("a", "b")


def values(rows: int = 100) -> np.ndarray:
    return np.random.default_rng(0).random((rows, 2), np.float32)


def test_equal_values_give_no_difference() -> None:
    ids = [str(index) for index in range(100)]
    assert differences(ids, FEATURES, values(), values()) == []


def test_one_flipped_bit_is_found_and_named() -> None:
    ids = [str(index) for index in range(100)]
    served = values()
    served.view(np.uint32)[42, 1] ^= 1
    offline = values()
    found = differences(ids, FEATURES, served, offline)
    assert found == [Difference("42", "b", float(served[42, 1]), float(offline[42, 1]))]
    assert found[0].served != found[0].offline


def test_value_that_is_missing_on_one_side_is_a_difference() -> None:
    served = values(1)
    served[0, 0] = np.nan
    assert [d.feature for d in differences(["x"], FEATURES, served, values(1))] == ["a"]
    assert differences(["x"], FEATURES, served, served.copy()) == []


def test_columns_in_fortran_order_are_compared_in_place() -> None:
    assert differences(["0", "1"], FEATURES, np.asfortranarray(values(2)), values(2)) == []


@pytest.mark.parametrize("wrong", [values(3), values(2).astype(np.float64), values(2)[:, :1]])
def test_wrong_shape_or_type_is_refused(wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be float32"):
        differences(["0", "1"], FEATURES, values(2), wrong)
