"""Each pixel's class: cross-entropy and the Dice loss, beside one another.

Targets are uint8 [N, H, W], 0 for background and k + 1 for the class k; logits float32 [N, K + 1, H / 2,
W / 2]. Milletari et al., "V-Net" (2016), for the Dice loss.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from linnet.config import TrainConfig
from linnet.errors import ConfigError
from linnet.tasks.model import Model
from linnet.tasks.segmentation.network import STRIDE, SegmentationNetwork
from linnet.tasks.segmentation.upsampling import interpolation
from linnet.vision.fusion import PixelNetwork

_SMOOTH = 1.0
"""Pixels added to both sides of a Dice coefficient, so that a class of few pixels does not toss it."""


class _Masks:
    def network(self, architecture: dict[str, Any]) -> PixelNetwork:
        try:
            return SegmentationNetwork(architecture)
        except KeyError as error:
            raise ConfigError("architecture", f"lacks {error}", "train the model again") from error

    def check(self, config: TrainConfig) -> None:
        for name, wrong, remedy in (
            (
                "epochs",
                config.epochs == 0,
                "raise it: a decoder cannot be fitted as the head of a classifier",
            ),
            ("balanced_sampling", config.balanced_sampling, "use train.class_weights"),
            ("mixup", config.mixup > 0, "set it to 0: mixed images have no one class a pixel"),
            (
                "cutmix",
                config.cutmix > 0,
                "set it to 0: images are not cut into one another with their masks",
            ),
            ("augment", config.augment == "photo", "remove it: masks move with flip and shift alone"),
        ):
            if wrong:
                raise ConfigError(f"train.{name}", "is nothing that segmentation can train by", remedy)

    def losses(
        self, logits: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float, gamma: float
    ) -> Tensor:
        scores = _upsampled(logits)
        wanted = targets.long()
        each = None if weights is None else torch.cat([weights.new_ones(1), weights])
        entropy = functional.cross_entropy(
            scores, wanted, weight=each, reduction="none", label_smoothing=smoothing
        )
        chances = scores.softmax(dim=1)
        if gamma:  # Lin et al., "Focal Loss for Dense Object Detection" (2017)
            entropy = entropy * (1 - chances.gather(1, wanted[:, None])[:, 0]) ** gamma
        return entropy.mean(dim=(1, 2)) + _dice_loss(chances, wanted)

    def named(self, logits: Tensor) -> Tensor:
        return _upsampled(logits).argmax(dim=1).to(torch.uint8)

    def right(self, named: Tensor, targets: Tensor) -> Tensor:
        both, total = _overlaps(named, targets, max(int(named.max()), int(targets.max()), 1))
        there = total > 0
        dice = torch.where(there, 2 * both / total.clamp_min(1), 0.0).sum(dim=1)
        return torch.where(there.any(dim=1), dice / there.sum(dim=1).clamp_min(1), 1.0)

    def results(self, named: Tensor, targets: Tensor, classes: int) -> dict[str, float]:
        both, total = (part.sum(dim=0) for part in _overlaps(named, targets, classes))
        there = self.counts(targets, classes) > 0
        dice = (2 * both / total.clamp_min(1))[there]
        return {
            "validation_accuracy": float(self.right(named, targets).mean()),
            "validation_macro_f1": float(dice.mean()) if len(dice) else 0.0,
        }

    def counts(self, targets: Tensor, classes: int) -> Tensor:
        return (_pixels(targets, classes) > 0).sum(dim=0)

    def kept(self, logits: Tensor) -> Tensor:
        """A quarter of the pixels, as the network gives them: `upsampling` makes all of them."""
        return logits

    def output(self, logits: Tensor, temperature: float) -> Tensor:
        sure, named = (_upsampled(logits) / temperature).softmax(dim=1).max(dim=1)
        return torch.stack((named.to(sure.dtype), sure), dim=1)


def _upsampled(logits: Tensor) -> Tensor:
    """[N, K + 1, H, W]; as a product of matrices, so that numpy and ONNX do the very same."""
    rows, columns = (
        torch.from_numpy(interpolation(int(side), int(side) * STRIDE)).to(logits.device)
        for side in logits.shape[2:]
    )
    return rows @ logits.float() @ columns.T


def _dice_loss(chances: Tensor, wanted: Tensor) -> Tensor:
    """1 minus the soft Dice coefficient, averaged over the classes that an image has, background too: [N]."""
    truth = functional.one_hot(wanted, chances.shape[1]).movedim(-1, 1).to(chances.dtype)
    both = (chances * truth).sum(dim=(2, 3))
    total = chances.sum(dim=(2, 3)) + truth.sum(dim=(2, 3))
    there = (truth.sum(dim=(2, 3)) > 0).to(chances.dtype)
    missed = 1 - (2 * both + _SMOOTH) / (total + _SMOOTH)
    return (missed * there).sum(dim=1) / there.sum(dim=1)


def _pixels(maps: Tensor, classes: int) -> Tensor:
    """Pixels a class, without background: int64 [N, K]."""
    flat = maps.reshape(len(maps), -1).long()
    found = torch.zeros(len(maps), classes + 1, dtype=torch.int64, device=maps.device)
    return found.scatter_add_(1, flat, torch.ones_like(flat))[:, 1:]


def _overlaps(named: Tensor, targets: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Pixels a class that both have, and those of the one and of the other together: [N, K] each."""
    both = _pixels(torch.where(named == targets, named, 0), classes)
    return both, _pixels(named, classes) + _pixels(targets, classes)


MODEL: Model = _Masks()
