from __future__ import annotations

from collections import Counter
from hashlib import blake2b

import pytest

from linnet.config import DataConfig
from linnet.data.split import LARGE_CLASS, Unit, assign, unit_interval

IDS = [blake2b(str(number).encode(), digest_size=16).hexdigest() for number in range(20_000)]
CONFIG = DataConfig(validation_fraction=0.1, production_fraction=0.2, test_fraction=0.3)


def test_unit_interval_maps_each_half() -> None:
    assert unit_interval("8" + "0" * 15 + "4" + "0" * 15) == (0.5, 0.25)


def split_of(
    units: list[Unit], brought: frozenset[str] = frozenset(), config: DataConfig = CONFIG
) -> dict[str, str]:
    return {unit.key: split for unit, split in zip(units, assign(units, brought, config), strict=True)}


def units(ids: list[str], label: str = "a", official: str = "") -> list[Unit]:
    return [Unit(sample_id, label, 1, official) for sample_id in ids]


def test_assign_without_official_splits_keeps_the_fractions() -> None:
    tally = Counter(split_of(units(IDS)).values())
    assert tally["test"] / len(IDS) == pytest.approx(0.3, abs=0.015)
    training = len(IDS) - tally["test"]
    assert tally["validation"] / training == pytest.approx(0.1, abs=0.01)
    assert tally["production"] / training == pytest.approx(0.2, abs=0.015)


def test_assign_in_a_large_class_is_a_function_of_the_key_alone() -> None:
    """What every version before did, written out: such a sample never moves."""
    for sample_id, split in split_of(units(IDS)).items():
        first, second = unit_interval(sample_id)
        want = "validation" if first < 0.1 else "production" if first < 0.1 + 0.2 else "train"
        assert split == ("test" if second < 0.3 else want)
    grown = split_of(units(IDS[:1000]))
    assert all(grown[key] == split for key, split in split_of(units(IDS[:LARGE_CLASS])).items())


def test_assign_with_official_test_carves_no_second_one() -> None:
    brought = frozenset({"train", "test"})
    tally = Counter(split_of(units(IDS, official="train"), brought).values())
    assert tally["test"] == 0
    assert tally["validation"] / len(IDS) == pytest.approx(0.1, abs=0.01)
    assert assign(units(IDS[:1], official="test"), brought, CONFIG) == ["test"]


@pytest.mark.parametrize("each", [2, 3, 5, 12, 50, 199])
def test_assign_small_classes_have_their_shares_each(each: int) -> None:
    """300 classes: chance alone would leave every tenth of 12 images without a test image."""
    config = DataConfig(validation_fraction=0.1, production_fraction=0.1, test_fraction=0.2)
    many = [Unit(IDS[i], f"class {i // each}", 1) for i in range(min(300 * each, len(IDS) // each * each))]
    by_class: dict[str, Counter[str]] = {}
    for unit, split in zip(many, assign(many, frozenset(), config), strict=True):
        by_class.setdefault(unit.label, Counter())[split] += 1
    for tally in by_class.values():
        assert tally["test"] == max(1, round(0.2 * each))
        assert tally["train"] >= int(0.6 * each)
        assert abs(tally["validation"] - 0.1 * (each - tally["test"])) <= 1


def test_assign_growing_small_class_moves_few_samples() -> None:
    moved = [
        sum(after[key] != split for key, split in split_of(units(IDS[:n])).items())
        for n in range(20, 190)
        for after in [split_of(units(IDS[: n + 1]))]
    ]
    assert sum(moved) / len(moved) < 1.5
    assert max(moved) <= 4


def test_assign_unit_of_many_samples_stands_in_one_split() -> None:
    groups = [Unit(sample_id, "a", 10) for sample_id in IDS[:18]]
    tally = Counter(assign(groups, frozenset(), CONFIG))
    assert 4 <= tally["test"] <= 6


def test_assign_smaller_fraction_only_moves_samples_to_train() -> None:
    smaller = CONFIG.model_copy(update={"validation_fraction": 0.05})
    before, after = split_of(units(IDS[:2000])), split_of(units(IDS[:2000]), config=smaller)
    assert all(after[key] == "test" for key, split in before.items() if split == "test")
