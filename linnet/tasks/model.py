"""What a network is and learns by: its head, the loss, what its logits name, and how well; no server."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from linnet.config import TrainConfig
from linnet.tasks.parts import part
from linnet.vision.fusion import PixelNetwork
from linnet.vision.networks import load_model

DYNAMIC_IMPORTS = ("linnet.tasks.*.model",)


class Model(Protocol):
    """What is asked of the logits of a network: N rows of whatever its head gives.

    `targets` are as `Target.encode` has them, as tensors.
    """

    def network(self, architecture: dict[str, Any]) -> PixelNetwork:
        """A backbone with the task's head, freshly initialized; see `vision.networks.build_network`.

        Raises:
            ConfigError: the description lacks a key, or is of a kind this version does not know.
        """

    def check(self, config: TrainConfig) -> None:
        """Refuses settings that this task cannot train by.

        Raises:
            ConfigError: names the setting.
        """

    def losses(
        self, logits: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float, gamma: float
    ) -> Tensor:
        """The loss of each sample, [N]; of mixed images (`WholeImage`) targets are shares of classes [N, K].

        `weights` float32 [K] weigh the classes, label `smoothing` spreads that much probability, and with
        `gamma` above 0 what is answered right already weighs less (focal loss).
        """

    def named(self, logits: Tensor) -> Tensor:
        """What the logits name, before thresholds are fitted: N rows."""

    def right(self, named: Tensor, targets: Tensor) -> Tensor:
        """The score of each sample, in [0, 1]: [N]. Of mixed images the main classes count."""

    def results(self, named: Tensor, targets: Tensor, classes: int) -> dict[str, float]:
        """`validation_accuracy`, the mean score, and `validation_macro_f1`, over classes that are there."""

    def counts(self, targets: Tensor, classes: int) -> Tensor:
        """Samples that have each class: int64 [K]."""

    def kept(self, logits: Tensor) -> Tensor:
        """What evaluation keeps of the logits of each image: N rows, of which `Score` makes the output."""

    def output(self, logits: Tensor, temperature: float) -> Tensor:
        """What is answered: N rows of `Answer.row_shape`; scaled where the task has a temperature."""


class WholeImage(Model, Protocol):
    """A task whose logits [N, K] are linear in the embedding of the whole image.

    Such a head can be fitted alone, on a frozen backbone, and images can be mixed with their labels.
    """

    def shares(self, targets: Tensor, classes: int) -> Tensor:
        """Targets as float32 [N, K], so that they can be mixed."""

    def groups(self, targets: Tensor) -> Tensor:
        """A class a sample, so that all classes can be spread evenly: int64 [N]."""


def model_of(task: str) -> Model:
    """How networks of a task learn.

    Raises:
        ConfigError: the task is unknown.
    """
    found: Model = part(task, "model").MODEL
    return found


def load_network(folder: Path, task: str) -> PixelNetwork:
    """The network that training wrote into `folder`, on the CPU, in eval mode.

    Raises:
        ConfigError: the task is unknown.
        StorageError: there is none, or it is damaged.
    """
    return load_model(folder, model_of(task).network)
