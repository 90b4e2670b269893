"""What a model's outputs say: numpy only, because the server asks it for every request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from linnet.records import ModelPackage
from linnet.tasks.parts import part

DYNAMIC_IMPORTS = ("linnet.tasks.*.answer",)
Probabilities = npt.NDArray[np.floating[Any]]
"""[N, K], in the order of the model's classes."""
Listed = list[dict[str, str | float]]
"""Classes with their probabilities, as `/predict` answers them: `class` and `probability`, the likeliest
first."""


class Answer(Protocol):
    """Reads the outputs of one model."""

    def problem(self, probabilities: Probabilities) -> str:
        """Why these can be no outputs of such a model, such as NaN; empty: they can."""

    def labels(self, probabilities: Probabilities) -> list[str]:
        """What the model says of each image, as a label is written: [N]."""

    def named(self, probabilities: Probabilities) -> npt.NDArray[np.bool_]:
        """Which classes it names: [N, K]."""

    def confidence(self, probabilities: Probabilities) -> npt.NDArray[np.float32]:
        """How likely it is, as the model has it, that this is right: [N]."""

    def listed(self, probabilities: Probabilities) -> Listed:
        """What a client is answered about one image, of its row [K]."""

    def said(self, listed: Sequence[Mapping[str, Any]]) -> str:
        """The label that an answer to a client means.

        Raises:
            LookupError, TypeError: it is no such answer.
        """


def answer_of(task: str, classes: tuple[str, ...], thresholds: tuple[float, ...] = ()) -> Answer:
    """Reads outputs for these classes; `thresholds`: a probability a class, where the task has them.

    Raises:
        ConfigError: the task is unknown.
    """
    found: Answer = part(task, "answer").answer(classes, thresholds)
    return found


def answer_of_package(package: ModelPackage) -> Answer:
    """The same for a packaged model."""
    return answer_of(package.task, package.classes, package.thresholds)
