"""What a test set can show: the smallest margin that means something, and gates that no model could pass.

Every gate on a bound asks two things at once: that the model is good, and that there are enough test
images to show it. The second does not depend on the model, so it is known before training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from linnet.config import EvaluationConfig, GatesConfig
from linnet.errors import ConfigError
from linnet.statistics import intervals
from linnet.statistics.metrics import Floats
from linnet.statistics.paired import paired_difference, pairs_needed

SMALLEST_MARGIN = 0.01
"""What `non_inferiority_margin = "auto"` asks for where the test images allow it."""
_STEP = 0.005
_DRAWN = 0.005
"""Bounds that are drawn differ by less than this from seed to seed."""
_MOST = 1 << 24


@dataclass(frozen=True, slots=True)
class Unattainable:
    """A gate that an ideal model would fail on the test images that there are."""

    setting: str
    asked: float
    best: float
    """What the ideal model reaches."""
    needed: int | None
    """Test images from which it would pass, classes in their present shares; None: no number is enough."""


def auto_margin(pairs: int, confidence: float) -> float:
    """Smallest margin, in steps of 0.005 and at least 0.01, at which an equally good next version passes.

    Equally good: the other model errs on 1 % of the `pairs` test images where this one does not, and as
    often the reverse. NaN-free: no images give the margin 1.
    """
    if pairs < 1:
        return 1.0
    changed = min(max(1, round(0.01 * pairs)), pairs // 2)
    bound = -paired_difference(changed, changed, pairs, confidence).low
    return min(1.0, max(SMALLEST_MARGIN, round(math.ceil(bound / _STEP) * _STEP, 3)))


def margin_of(gates: GatesConfig, pairs: int, confidence: float) -> float:
    """The margin of non-inferiority in force: the config's number, or what `pairs` test images can show."""
    margin = gates.non_inferiority_margin
    return auto_margin(pairs, confidence) if margin == "auto" else margin


def unattainable(
    tests: Sequence[int], gates: GatesConfig, evaluation: EvaluationConfig
) -> list[Unattainable]:
    """The gates that an ideal model fails: one that errs never, or one that equals its champion.

    Args:
        tests: Test images a class; classes without any are judged by no gate here.
        gates: The thresholds. A margin of 0 asks for a model that is shown to be better, not an equal one.
        evaluation: The intervals' level and resamples.
    """
    held = [number for number in tests if number]
    bounds: tuple[tuple[str, float, Callable[[Sequence[int]], float], float], ...] = (
        ("min_accuracy", gates.min_accuracy, lambda n: accuracy_bound(n, evaluation), 0.0),
        ("min_macro_f1", gates.min_macro_f1, lambda n: macro_f1_bound(n, evaluation), _DRAWN),
        ("min_auc", gates.min_auc, lambda n: auc_bound(n, evaluation), 0.0),
    )
    found = [
        Unattainable(f"gates.{name}", asked, best(held), _needed(held, asked - slack, best))
        for name, asked, best, slack in bounds
        if held and best(held) < asked - slack
    ]
    margin, pairs = gates.non_inferiority_margin, sum(held)
    if margin != "auto" and margin > 0:
        needed = pairs_needed(margin, evaluation.confidence)
        if pairs < needed:
            apart = -paired_difference(0, 0, pairs, evaluation.confidence).low
            found.append(Unattainable("gates.non_inferiority_margin", margin, apart, needed))
    return found


def check_attainable(tests: Sequence[int], gates: GatesConfig, evaluation: EvaluationConfig) -> None:
    """Refuses a config that no model could pass, with the number of test images that it would take.

    Raises:
        ConfigError: names the setting, or all of them.
    """
    found = unattainable(tests, gates, evaluation)
    if not found:
        return
    total = sum(tests)
    problems = "; ".join(_problem(one, total) for one in found)
    raise ConfigError(", ".join(one.setting for one in found), problems, _remedy(found, total, evaluation))


def accuracy_bound(tests: Sequence[int], evaluation: EvaluationConfig) -> float:
    """The lower bound of accuracy that a model reaches which never errs."""
    return intervals.wilson(sum(tests), sum(tests), evaluation.confidence).low


def macro_f1_bound(tests: Sequence[int], evaluation: EvaluationConfig) -> float:
    """The same of macro F1."""
    rng = np.random.default_rng(evaluation.seed)
    confusion = np.diag(np.asarray(tests, np.int64))
    level, resamples = evaluation.confidence, evaluation.resamples
    return intervals.resampled_class_metrics(confusion, level, resamples, rng)["macro_f1"].low


def macro_f1_beside(accuracy: float, tests: Sequence[int], evaluation: EvaluationConfig) -> float:
    """The lower bound of macro F1 of a model whose lower bound of accuracy just reaches `accuracy`.

    It errs as often in every class, and names every other one as often. A class of few images pulls the bound
    of macro F1 down further than that of accuracy, so the one is no fixed share of the other.
    """
    total = sum(tests)
    right = next(
        (n for n in range(total) if intervals.wilson(n, total, evaluation.confidence).low >= accuracy), total
    )
    confusion = _spread(np.asarray(tests, np.float64), right / total)
    rng = np.random.default_rng(evaluation.seed)
    level, resamples = evaluation.confidence, evaluation.resamples
    return intervals.resampled_class_metrics(confusion, level, resamples, rng)["macro_f1"].low


def _spread(tests: Floats, accuracy: float) -> Floats:
    """Expected confusion matrix, float64 [K, K], of a model that errs as often in every class."""
    others = max(len(tests) - 1, 1)
    confusion: Floats = np.repeat((1 - accuracy) / others * tests[:, None], len(tests), axis=1)
    np.fill_diagonal(confusion, accuracy * tests if len(tests) > 1 else tests)
    return confusion


def auc_bound(tests: Sequence[int], evaluation: EvaluationConfig) -> float:
    """The same of the macro AUC; 1 with fewer than two classes, of which there is none to bound."""
    if len(tests) < 2:
        return 1.0
    return intervals.faultless_auc_bound(len(tests), min(tests), evaluation.confidence)


def _needed(tests: Sequence[int], asked: float, best: Callable[[Sequence[int]], float]) -> int | None:
    """Fewest test images, in the same shares, with which `best` reaches `asked`."""
    before = [sum(tests[:index]) for index in range(len(tests) + 1)]

    def shared(total: int) -> list[int]:
        edges = [total * count // before[-1] for count in before]
        return [max(1, high - low) for low, high in pairwise(edges)]

    few = enough = before[-1]
    while best(shared(enough)) < asked:
        few, enough = enough, 2 * enough
        if enough > _MOST:
            return None
    while enough - few > 1:
        middle = (few + enough) // 2
        few, enough = (few, middle) if best(shared(middle)) >= asked else (middle, enough)
    return enough


def _problem(one: Unattainable, total: int) -> str:
    takes = f"it takes {one.needed:,}" if one.needed else "no number of test images is enough"
    if one.setting.endswith("margin"):
        return (
            f"{one.asked:g} is less than {total:,} test images can show: two models that never differ there "
            f"may be {one.best:.3f} apart; {takes}"
        )
    reached = f"on {total:,} test images a faultless model reaches {one.best:.4f}"
    return f"{one.asked:g} is out of reach: {reached}; {takes}"


def _remedy(found: list[Unattainable], total: int, evaluation: EvaluationConfig) -> str:
    parts = []
    floors = [one for one in found if not one.setting.endswith("margin")]
    if floors:
        lower = ", ".join(f"{one.setting} = {math.floor(one.best * 100) / 100:g}" for one in floors)
        parts.append(f"set at most {lower}")
    if len(floors) < len(found):
        auto = auto_margin(total, evaluation.confidence)
        parts.append(f'set gates.non_inferiority_margin = "auto", which is {auto:g} here')
    return f"add test images, or {' and '.join(parts)}"
