"""What a model's output says: numpy only, because the server asks it for every request.

A model answers N images with one array of N rows; what shape a row has, and what it means, is the task's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from linnet.records import ModelPackage
from linnet.tasks.parts import part

DYNAMIC_IMPORTS = ("linnet.tasks.*.answer",)
Output = npt.NDArray[np.floating[Any]]
"""N rows of `Answer.row_shape`."""
ByClass = npt.NDArray[np.floating[Any]]
"""[N, K], in the order of the model's classes."""
Listed = list[dict[str, Any]]
"""What `/predict` answers, the likeliest first: `class` and `probability`, and what else the task tells."""


class Answer(Protocol):
    """Reads the output of one model."""

    output_name: str
    """What the output is called in the ONNX model, in answers to tensors, and in files."""

    def row_shape(self, height: int, width: int) -> tuple[int, ...]:
        """The shape of a row of a model for images of a size."""

    def problem(self, output: Output) -> str:
        """Why this can be no output of such a model, such as NaN; empty: it can."""

    def labels(self, output: Output) -> list[str]:
        """What the model says of each image, as a label is written: [N]."""

    def named(self, output: Output) -> npt.NDArray[np.bool_]:
        """Which classes it names: [N, K]."""

    def by_class(self, output: Output) -> ByClass:
        """How likely each class is in each image, in [0, 1]: [N, K]."""

    def confidence(self, output: Output) -> npt.NDArray[np.float32]:
        """How likely it is, as the model has it, that this is right: [N]."""

    def difference(self, first: Output, second: Output) -> float:
        """The largest difference of a number between two outputs about the same images."""

    def in_classes(self, output: Output, classes: tuple[str, ...]) -> Output:
        """The same in the order of other classes; what is said of a class that is not among them is gone."""

    def packed(self, output: Output) -> list[npt.NDArray[np.float32]]:
        """A list of numbers an image, for the prediction log, from which `unpacked` has all that is asked."""

    def unpacked(self, values: npt.NDArray[np.float32], ends: npt.NDArray[np.int64]) -> Output:
        """Output of which `packed` made these numbers; `ends` int64 [N]: where each image's numbers end.

        Raises:
            ValueError: they are of another model.
        """

    def listed(self, row: Output) -> Listed:
        """What a client is answered about one image, of its row."""

    def off(self, listed: Sequence[Mapping[str, Any]], row: Output) -> float:
        """The largest difference of a number in an answer to a client from an output's row."""

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
