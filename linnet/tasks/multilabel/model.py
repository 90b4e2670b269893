"""Classes that do not exclude each other: a sigmoid each, and binary cross-entropy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from linnet.config import TrainConfig
from linnet.errors import ConfigError
from linnet.tasks.model import WholeImage
from linnet.vision.fusion import FusionNetwork
from linnet.vision.networks import build_network


class _Sigmoid:
    def network(self, architecture: dict[str, Any]) -> FusionNetwork:
        return build_network(architecture)

    def check(self, config: TrainConfig) -> None:
        if config.balanced_sampling:
            problem = "draws every class equally often, which images of several classes do not allow"
            raise ConfigError("train.balanced_sampling", problem, "use train.class_weights")

    def losses(
        self, logits: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float, gamma: float
    ) -> Tensor:
        """The sum over classes, so that it is as large as that of classes that exclude each other."""
        wanted = targets.to(logits.dtype)
        smooth = wanted * (1 - smoothing) + smoothing / 2
        losses = functional.binary_cross_entropy_with_logits(logits, smooth, reduction="none")
        if gamma:  # Lin et al., "Focal Loss for Dense Object Detection" (2017): made for this very loss
            chances = torch.sigmoid(logits)
            losses = losses * (chances * (1 - wanted) + (1 - chances) * wanted) ** gamma
        return (losses if weights is None else losses * weights).sum(dim=1)

    def named(self, logits: Tensor) -> Tensor:
        return logits > 0

    def right(self, named: Tensor, targets: Tensor) -> Tensor:
        wanted = targets >= 0.5 if targets.is_floating_point() else targets > 0
        both, either = (named & wanted).sum(dim=1), (named | wanted).sum(dim=1)
        return torch.where(either > 0, both / either.clamp_min(1), 1.0)

    def results(self, named: Tensor, targets: Tensor, classes: int) -> dict[str, float]:  # noqa: ARG002
        wanted = targets > 0
        hits, actual, said = (part.sum(dim=0) for part in (named & wanted, wanted, named))
        f1 = 2 * hits / (actual + said).clamp_min(1)
        present = f1[actual > 0]
        return {
            "validation_accuracy": float(self.right(named, targets).mean()),
            "validation_macro_f1": float(present.mean()) if len(present) else 0.0,
        }

    def shares(self, targets: Tensor, classes: int) -> Tensor:  # noqa: ARG002
        return targets.float()

    def counts(self, targets: Tensor, classes: int) -> Tensor:  # noqa: ARG002
        return targets.sum(dim=0, dtype=torch.int64)

    def groups(self, targets: Tensor) -> Tensor:
        """The rarest class that a sample has; one more than the last class where it has none."""
        most = torch.iinfo(torch.int64).max
        rarity = torch.where(targets > 0, self.counts(targets, 0), most)
        none = (targets > 0).sum(dim=1) == 0
        return torch.where(none, targets.shape[1], rarity.argmin(dim=1))

    def kept(self, logits: Tensor) -> Tensor:
        return logits

    def output(self, logits: Tensor, temperature: float) -> Tensor:
        return torch.sigmoid(logits / temperature)


MODEL: WholeImage = _Sigmoid()
