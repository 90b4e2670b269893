"""The two-sample test of embeddings: level, power, and the strangest rows."""

from __future__ import annotations

import numpy as np
import pytest

from linnet.monitoring.embeddings import compare_embeddings


def test_p_values_of_equal_distributions_are_small_as_often_as_they_say() -> None:
    rng = np.random.default_rng(0)
    p = [
        compare_embeddings(rng.normal(size=(150, 6)), rng.normal(size=(120, 6)), seed).p_value
        for seed in range(300)
    ]
    assert np.mean(np.array(p) < 0.1) == pytest.approx(0.1, abs=0.06)
    assert np.mean(p) == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("change", ["shift", "spread", "mode"])
def test_changes_that_no_mean_need_show_are_found(change: str) -> None:
    rng = np.random.default_rng(1)
    reference, window = rng.normal(size=(500, 10)), rng.normal(size=(400, 10))
    if change == "shift":
        window += 0.4
    if change == "spread":
        window *= 1.8
    if change == "mode":
        window[:120] = rng.normal(4.0, 0.3, (120, 10))
    found = compare_embeddings(reference, window)
    assert found.p_value < 1e-4 and found.auc > 0.6


def test_embeddings_of_the_reference_itself_are_not_told_apart() -> None:
    rng = np.random.default_rng(2)
    both = rng.normal(size=(1000, 12))
    found = compare_embeddings(both[:500], both[500:])
    assert found.p_value > 0.01 and found.auc == pytest.approx(0.5, abs=0.06)


def test_planted_rows_are_the_strangest() -> None:
    rng = np.random.default_rng(3)
    window = rng.normal(size=(300, 8))
    window[[5, 77, 200, *range(250, 300)]] += 3.0
    found = compare_embeddings(rng.normal(size=(400, 8)), window)
    strangest = set(np.argsort(-found.strangeness)[:53])
    assert len(strangest & {5, 77, 200, *range(250, 300)}) >= 50


def test_column_that_never_moved_before_speaks_when_it_does() -> None:
    rng = np.random.default_rng(4)
    reference, window = rng.normal(size=(300, 4)), rng.normal(size=(300, 4))
    reference[:, 2], window[:, 2] = 0.0, 0.0
    assert compare_embeddings(reference, window).p_value > 0.001
    window[:, 2] = 9.0
    assert compare_embeddings(reference, window).p_value < 1e-6


@pytest.mark.parametrize("shape", [(10, 4), (100, 5)])
def test_samples_that_cannot_be_compared_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="at least 20 rows"):
        compare_embeddings(np.zeros((100, 4)), np.zeros(shape))
