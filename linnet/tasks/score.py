"""How well a model did on samples with labels: calibration, metrics with intervals, one score per sample.

The score of a sample lies in [0, 1], and `accuracy` is its mean, whatever the task. A score has at most
the spread of a coin that shows heads as often, so what holds for shares of right answers (Wilson's and
Tango's intervals, the judge's e-values) holds for scores, too, and is wide rather than narrow.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from linnet.config import EvaluationConfig
from linnet.records import CohortResult, Interval
from linnet.statistics.catalog import Metric
from linnet.statistics.reliability import ReliabilityBin
from linnet.tasks.parts import part
from linnet.tasks.target import Targets

DYNAMIC_IMPORTS = ("linnet.tasks.*.score",)
Floats = npt.NDArray[np.float64]
Logits = npt.NDArray[np.floating]
CLASS = "class"
"""Cohort column of the true class; the score within it is the class's recall."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What was chosen on the validation split."""

    temperature: float
    """1 where the task scales nothing."""
    thresholds: tuple[float, ...] = ()
    """A probability a class, where the task has them."""


class Results(Protocol):
    """N samples with labels and what a model says of them; what else is in it is the task's own."""

    @property
    def samples(self) -> int:
        """N."""

    @property
    def not_finite(self) -> int:
        """Samples with an answer that holds no number or an infinite one; a model that has any is broken."""

    @property
    def scores(self) -> Floats:
        """One score per sample, in [0, 1]: [N]."""

    @property
    def output(self) -> Floats:
        """What the model answers, calibrated: as `Answer` reads it."""


class Score(Protocol):
    """The measures of a task."""

    metrics: tuple[Metric, ...]
    """In the order of the reports; `accuracy`, the mean score, is one of them."""
    gated: tuple[str, ...]
    """Of these, the ones whose lower bound must reach the gate `min_NAME`."""

    def fit(self, logits: Logits, targets: Targets, classes: int = 0) -> Fitted:
        """Temperature and thresholds by the validation split; `logits` as `Model.kept` has them.

        `classes`: K, of which some may occur in neither; 0: no more than occur.
        """

    def results(self, targets: Targets, logits: Logits, fitted: Fitted) -> Any:
        """`Results` of these samples, for the other methods."""

    def described(self, targets: Targets, output: Floats, thresholds: tuple[float, ...]) -> Any:
        """The same of calibrated output."""

    def intervals(self, results: Any, config: EvaluationConfig) -> dict[str, Interval]:
        """Each of `metrics` by its key."""

    def uncalibrated(self, results: Any, temperature: float) -> Any:
        """The same samples as they were before they were scaled by a temperature."""

    def calibration_error(self, results: Any, bins: int) -> float:
        """Mean distance of what a model claims and what is so."""

    def reliability(self, results: Any, bins: int) -> tuple[ReliabilityBin, ...]:
        """The bins of a reliability diagram; none where the model claims nothing that can be so or not."""

    def per_class(self, results: Any, classes: Sequence[str]) -> dict[str, dict[str, float]]:
        """precision, recall, f1, support, false_positive_rate a class."""

    def recalls(self, results: Any, classes: Sequence[str], confidence: float) -> list[CohortResult]:
        """The recall of each class that has samples, as cohorts."""

    def confusion(self, results: Any) -> tuple[tuple[int, ...], ...]:
        """Counts of true (rows) and named class (columns); none where classes do not exclude each other."""

    def mistakes(self, results: Any) -> dict[str, npt.NDArray[np.int64]]:
        """How many mistakes of each kind a sample has, [N] by the kind's words; none where only right and
        wrong can be told apart."""

    def groups(self, results: Any) -> dict[str, npt.NDArray[np.str_]]:
        """Cohorts by what labels hold, beyond their classes: [N] by column."""

    def ranked(self, results: Any) -> npt.NDArray[np.int64]:
        """All samples, the most doubtful label first: for whoever has a budget to spend on labels."""

    def suspects(self, results: Any) -> npt.NDArray[np.int64]:
        """Samples with a doubtful label, the most doubtful first; at most 500."""


class Undivided:
    """A score of labels that are not made of objects."""

    def mistakes(self, results: Any) -> dict[str, npt.NDArray[np.int64]]:  # noqa: ARG002
        """No kinds of mistake."""
        return {}

    def groups(self, results: Any) -> dict[str, npt.NDArray[np.str_]]:  # noqa: ARG002
        """No cohorts of its own."""
        return {}


def score_of(task: str) -> Score:
    """The measures of a task.

    Raises:
        ConfigError: the task is unknown.
    """
    found: Score = part(task, "score").SCORE
    return found
