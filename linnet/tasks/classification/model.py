"""Classes that exclude each other: softmax and cross-entropy."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from linnet.config import TrainConfig
from linnet.tasks.model import WholeImage
from linnet.vision.fusion import FusionNetwork
from linnet.vision.networks import build_network


class _Softmax:
    def network(self, architecture: dict[str, Any]) -> FusionNetwork:
        return build_network(architecture)

    def check(self, config: TrainConfig) -> None:
        """Every setting suits it."""

    def losses(
        self, logits: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float, gamma: float
    ) -> Tensor:
        # Focal: a sample weighs (1 - p)^gamma, where p is the probability of its class (Lin et al., "Focal
        # Loss for Dense Object Detection", 2017). Of mixed labels weights and p are taken by share.
        losses = functional.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="none")
        mixed = targets.is_floating_point()
        if gamma:
            chances = torch.softmax(logits, dim=1)
            sure = (chances * targets).sum(1) if mixed else chances.gather(1, targets[:, None])[:, 0]
            losses = losses * (1 - sure) ** gamma
        if weights is None:
            return losses
        return losses * (targets @ weights if mixed else weights[targets])

    def named(self, logits: Tensor) -> Tensor:
        return logits.argmax(dim=1)

    def right(self, named: Tensor, targets: Tensor) -> Tensor:
        return named == (targets.argmax(dim=1) if targets.is_floating_point() else targets)

    def results(self, named: Tensor, targets: Tensor, classes: int) -> dict[str, float]:
        pairs = torch.bincount(targets * classes + named, minlength=classes * classes)
        table = pairs.view(classes, classes)
        right, actual, said = table.diagonal(), table.sum(dim=1), table.sum(dim=0)
        f1 = 2 * right / (actual + said).clamp_min(1)
        return {
            "validation_accuracy": int(right.sum()) / len(targets),
            "validation_macro_f1": float(f1[actual > 0].mean()),
        }

    def shares(self, targets: Tensor, classes: int) -> Tensor:
        return functional.one_hot(targets, classes).float()

    def counts(self, targets: Tensor, classes: int) -> Tensor:
        return torch.bincount(targets, minlength=classes)

    def groups(self, targets: Tensor) -> Tensor:
        return targets

    def kept(self, logits: Tensor) -> Tensor:
        return logits

    def output(self, logits: Tensor, temperature: float) -> Tensor:
        return torch.softmax(logits / temperature, dim=1)


MODEL: WholeImage = _Softmax()
