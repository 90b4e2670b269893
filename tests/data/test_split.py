from __future__ import annotations

from collections import Counter
from hashlib import blake2b

import pytest

from linnet.config import DataConfig
from linnet.data.split import assign, unit_interval

IDS = [blake2b(str(number).encode(), digest_size=16).hexdigest() for number in range(20_000)]
CONFIG = DataConfig(validation_fraction=0.1, production_fraction=0.2, test_fraction=0.3)


def test_unit_interval_maps_each_half() -> None:
    assert unit_interval("8" + "0" * 15 + "4" + "0" * 15) == (0.5, 0.25)


def test_assign_without_official_splits_keeps_the_fractions() -> None:
    tally = Counter(assign(sample_id, "", frozenset({""}), CONFIG) for sample_id in IDS)
    assert tally["test"] / len(IDS) == pytest.approx(0.3, abs=0.015)
    training = len(IDS) - tally["test"]
    assert tally["validation"] / training == pytest.approx(0.1, abs=0.01)
    assert tally["production"] / training == pytest.approx(0.2, abs=0.015)


def test_assign_with_official_test_carves_no_second_one() -> None:
    tally = Counter(assign(sample_id, "train", frozenset({"train", "test"}), CONFIG) for sample_id in IDS)
    assert tally["test"] == 0
    assert tally["validation"] / len(IDS) == pytest.approx(0.1, abs=0.01)
    assert assign(IDS[0], "test", frozenset({"train", "test"}), CONFIG) == "test"


def test_assign_smaller_fraction_only_moves_samples_to_train() -> None:
    smaller = CONFIG.model_copy(update={"validation_fraction": 0.05})
    for sample_id in IDS[:2000]:
        before = assign(sample_id, "", frozenset(), CONFIG)
        if before == "test":
            assert assign(sample_id, "", frozenset(), smaller) == "test"
