"""What a network learns by: the loss, what its logits name, and how well; torch, and no server."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from linnet.config import TrainConfig
from linnet.tasks.parts import part

DYNAMIC_IMPORTS = ("linnet.tasks.*.model",)


class Model(Protocol):
    """What is asked of logits float32 [N, K]. `targets` are as `Target.encode` has them, as tensors."""

    def check(self, config: TrainConfig) -> None:
        """Refuses settings that this task cannot train by.

        Raises:
            ConfigError: names the setting.
        """

    def losses(
        self, logits: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float, gamma: float
    ) -> Tensor:
        """The loss of each sample, [N]; targets may be shares of classes, float32 [N, K], of mixed images.

        `weights` float32 [K] weigh the classes, label `smoothing` spreads that much probability, and with
        `gamma` above 0 what is answered right already weighs less (focal loss).
        """

    def named(self, logits: Tensor) -> Tensor:
        """What the logits name, before thresholds are fitted: N rows."""

    def right(self, named: Tensor, targets: Tensor) -> Tensor:
        """The score of each sample, in [0, 1]: [N]. Of mixed images the main classes count."""

    def results(self, named: Tensor, targets: Tensor, classes: int) -> dict[str, float]:
        """`validation_accuracy`, the mean score, and `validation_macro_f1`, over classes that are there."""

    def shares(self, targets: Tensor, classes: int) -> Tensor:
        """Targets as float32 [N, K], so that they can be mixed."""

    def counts(self, targets: Tensor, classes: int) -> Tensor:
        """Samples that have each class: int64 [K]."""

    def groups(self, targets: Tensor) -> Tensor:
        """A class a sample, so that all classes can be spread evenly: int64 [N]."""

    def probabilities(self, logits: Tensor) -> Tensor:
        """Probabilities float32 [N, K] of calibrated logits."""


def model_of(task: str) -> Model:
    """How networks of a task learn.

    Raises:
        ConfigError: the task is unknown.
    """
    found: Model = part(task, "model").MODEL
    return found
