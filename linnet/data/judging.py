"""What a dataset can show of a model: how it will be divided, and the gates that follow; nothing is decoded.

`linnet init` writes both. Every number of the [gates] section follows from the test images a class: a good
model (one that errs once in five, as often as it says) passes them, and a faultless one is told from chance.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from linnet.config import DataConfig, EvaluationConfig
from linnet.data.presets import quoted
from linnet.data.rows import RawDataset, RawRow
from linnet.data.split import Unit, assign
from linnet.errors import DataError
from linnet.records import SPLITS
from linnet.statistics.attainable import (
    SMALLEST_MARGIN,
    accuracy_bound,
    auc_bound,
    auto_margin,
    macro_f1_beside,
)
from linnet.statistics.intervals import wilson
from linnet.statistics.paired import pairs_needed

_GOOD = 0.8
"""Accuracy of the model that the first gates let pass."""
_LEARNED = 1 / 3
"""Share of the errors of always naming the biggest class that a first model must not make."""
_SHARES = ((0.05, 0.05, 0.15), (0.1, 0.1, 0.2), (0.15, 0.15, 0.2), (0.2, 0.2, 0.2), (0.25, 0.3, 0.2))
"""Shares for validation, production and test, the smallest first."""
_LARGE = 500
"""Images in the smallest class from which small shares are enough."""
_MOST_A_CLASS = 1000


@dataclass(frozen=True, slots=True)
class Division:
    """How `ingest` will divide a dataset: exact where no class reaches 200 images and none has copies."""

    validation: float
    production: float
    test: float
    tests: dict[str, int]
    """Test images a class, in label order."""
    trained: dict[str, int]
    """Training images a class, in label order; at least one each."""

    @property
    def test_images(self) -> int:
        """All of them."""
        return sum(self.tests.values())

    @property
    def unjudged(self) -> tuple[str, ...]:
        """Classes without a test image: no gate can judge them."""
        return tuple(label for label, number in self.tests.items() if not number)


def divide(raw: RawDataset) -> Division:
    """The smallest shares that leave no split empty and every class something to train on.

    Raises:
        DataError: there are too few images for any; says how many it takes.
    """
    counts = Counter(row.label for row in raw.rows)
    smallest = min(counts.values())
    for shares in _SHARES if smallest >= _LARGE else _SHARES[1:]:
        found = _divided(raw.classes, raw.rows, shares)
        if found is not None:
            return found
    raise DataError(
        raw.where,
        f"{len(raw.rows)} images in {len(raw.classes)} classes are too few to train and to judge a model",
        _too_few(raw, counts),
    )


def gates_section(raw: RawDataset, division: Division, evaluation: EvaluationConfig) -> str:
    """The [gates] section as TOML, with the reasons as comments."""
    counts = Counter(row.label for row in raw.rows)
    smallest, chance = min(counts.values()), max(counts.values()) / len(raw.rows)
    tests, n = [number for number in division.tests.values() if number], division.test_images
    few = wilson(math.floor(_GOOD * n), n, evaluation.confidence).low
    floor = _down(min(0.8, chance + (1 - chance) * _LEARNED, few))
    f1 = _down(0.95 * macro_f1_beside(floor, tests, evaluation))
    recall = _down(_least_recall(tests, 0.6 * floor))
    area = _down(min(0.85 if smallest >= 200 else 0.5, 0.9 * auc_bound(tests, evaluation)))
    error = max(0.05 if smallest >= _LARGE else 0.1, _calibration_noise(n, evaluation.calibration_bins))
    gap = max(0.25 if smallest >= _LARGE else 0.35, 0.1 + 2.1 * _deviation(n / 3))
    margin, needed = (
        auto_margin(n, evaluation.confidence),
        pairs_needed(SMALLEST_MARGIN, evaluation.confidence),
    )
    of_class = "" if recall else "  # the smallest class has too few test images for a floor"
    alone = "".join(
        f"# Too few images to hold one out for the test: they are trained, and no gate judges them.\n"
        f"unjudged_classes = [{', '.join(map(quoted, division.unjudged))}]\n"
        for _ in division.unjudged[:1]
    )
    return f"""\
[gates]
# A floor to start from, of lower bounds on about {n:,} test images, which a model that errs once in five
# passes; raise it to what you know the data allows. More test images make the bounds narrower.
min_accuracy = {floor}  # always naming the biggest class scores {chance:.2f}
min_macro_f1 = {f1}
min_worst_recall = {recall}{of_class}
min_auc = {area}
max_ece = {_up(error)}
max_cohort_gap = {_up(gap)}
# auto: what the test images can show, {margin:g} with these; {SMALLEST_MARGIN} takes at least {needed:,}.
non_inferiority_margin = "auto"
{alone}"""


def _divided(
    classes: Sequence[str], rows: Sequence[RawRow], shares: tuple[float, float, float]
) -> Division | None:
    """What `ingest` makes of these shares; None: too few for a split, a class's training, or any proof."""
    validation, production, test = shares
    config = DataConfig(validation_fraction=validation, production_fraction=production, test_fraction=test)
    units = [Unit(_key(row.origin), row.label, 1, row.split) for row in rows]
    splits = assign(units, frozenset(row.split for row in rows), config)
    tally = Counter(zip(splits, (row.label for row in rows), strict=True))
    trained = {label: tally["train", label] for label in classes}
    if set(splits) != set(SPLITS) or not all(trained.values()):
        return None
    tests = {label: tally["test", label] for label in classes}
    tells = accuracy_bound(list(tests.values()), EvaluationConfig()) > 1 / len(classes)
    return Division(validation, production, test, tests, trained) if tells else None


def _too_few(raw: RawDataset, counts: Counter[str]) -> str:
    """What to do about it: how many images it takes, found by trying."""
    if any(row.split for row in raw.rows):
        held = Counter(row.split or "train" for row in raw.rows)
        told = ", ".join(f"{split} {number}" for split, number in held.items())
        return (
            f"they bring their own splits ({told}): every class needs images to train on, and the test "
            "enough to tell a faultless model from guessing"
        )
    for each in range(min(counts.values()) + 1, _MOST_A_CLASS):
        wanted = {label: max(each, counts[label]) for label in raw.classes}
        rows = [
            RawRow(f"{label}/{number}", label, "", raw.rows[0].content)
            for label, many in wanted.items()
            for number in range(many)
        ]
        if any(_divided(raw.classes, rows, shares) for shares in _SHARES[1:]):
            short = [f"{label} ({counts[label]})" for label in raw.classes if counts[label] < each]
            more = f" and {len(short) - 5} more" if len(short) > 5 else ""
            return f"it takes at least {each} in each class; add images of {', '.join(short[:5])}{more}"
    return "add images"


def _key(origin: str) -> str:
    return hashlib.blake2b(origin.encode(), digest_size=16).hexdigest()


def _least_recall(tests: Sequence[int], smallest: float) -> float:
    """What chance leaves of the recall of the worst class, nineteen times in twenty.

    `smallest` is the recall that it has on any number of images. The gate compares the value measured on the
    few test images of a rare class, so that without this allowance half of such models would fail.
    """
    from scipy.stats import binom

    rare = (float(binom.ppf(0.05, number, smallest)) / number for number in tests)
    good = (float(binom.ppf(0.05 / len(tests), number, _GOOD)) / number for number in tests)
    return min(*rare, *good)


def _deviation(images: float) -> float:
    """Standard deviation of the accuracy of a good model on so many images."""
    return math.sqrt(_GOOD * (1 - _GOOD) / max(images, 1.0))


def _calibration_noise(images: int, bins: int) -> float:
    """What a calibrated model's error of calibration is measured as by chance: a mean of absolute values."""
    return 1.3 * math.sqrt(2 / math.pi) * _deviation(images / min(bins, images))


def _down(value: float) -> float:
    return math.floor(value * 100) / 100


def _up(value: float) -> float:
    return min(1.0, math.ceil(round(value * 100, 6)) / 100)
