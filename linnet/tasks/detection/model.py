"""Boxes are learned by their centers, their classes, and how far their sides are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from linnet.config import TrainConfig
from linnet.errors import ConfigError
from linnet.tasks.detection.answer import CLASS, SCORE, USUAL
from linnet.tasks.detection.boxes import Box, matched_boxes, quality
from linnet.tasks.detection.network import Detector, boxes_at, decoded, parts
from linnet.tasks.model import Model

_SIDES = 2.0
"""Weight of the sides' loss beside those of the centers and classes."""
_SPREAD = 0.15
"""Deviation of a center's bump as a share of the box's side: places near a center are nearly one."""
_NEAR = 0.6
"""Height of the bump from which on a place learns the sides of its box."""


class _Centers:
    def network(self, architecture: dict[str, Any]) -> Detector:
        return Detector(architecture)

    def check(self, config: TrainConfig) -> None:
        usual = TrainConfig()
        unfit = {
            "balanced_sampling": "draws every class equally often, which images of several objects forbid",
            "mixup": "mixes images, whose boxes would then be half there",
            "cutmix": "cuts images into one another, and boxes with them",
        }
        for name, problem in unfit.items():
            if getattr(config, name) != getattr(usual, name):
                raise ConfigError(f"train.{name}", f"{problem} (boxes)", "leave it out")
        moving = {"min_crop": 1.0, "policy": "none", "rotation": 0.0}
        for name, still in moving.items():
            if config.augment == "photo" and getattr(config, name) != still:
                problem = "would move what is in the image and leave its boxes where they were"
                raise ConfigError(f"train.{name}", problem, f"set it to {still!r}; flip and shift move boxes")
        if config.epochs == 0:
            problem = "is 0, but the head of boxes cannot be fitted on a frozen backbone alone"
            raise ConfigError("train.epochs", problem, "raise it")

    def losses(
        self, logits: Tensor, targets: Tensor, weights: Tensor | None, smoothing: float, gamma: float
    ) -> Tensor:
        """Over a sample's objects: focal loss of the centers (Zhou et al., 2019), cross-entropy of their
        classes, and 1 - GIoU of their sides. Weights, smoothing and `gamma` are of the classes."""
        center, classes, sides = parts(logits.float())
        bumps, owner = _bumps(targets, center.shape[2], center.shape[3])
        objects = (targets[..., 0] >= 0).sum(dim=1).clamp(min=1)
        loss = _center_losses(center[:, 0], bumps).sum(dim=(1, 2)) / objects
        rows, places = (owner >= 0).nonzero(as_tuple=True)
        if not len(rows):
            return loss
        learned = targets[rows, owner[rows, places]]
        which = learned[:, 0].long()
        scores = classes.flatten(2).transpose(1, 2)[rows, places]
        each = functional.cross_entropy(scores, which, reduction="none", label_smoothing=smoothing)
        if gamma:  # Lin et al., "Focal Loss for Dense Object Detection" (2017)
            each = each * (1 - scores.softmax(dim=1).gather(1, which[:, None])[:, 0]) ** gamma
        if weights is not None:
            each = each * weights[which]
        found = boxes_at(sides).flatten(2).transpose(1, 2)[rows, places]
        each = each + _SIDES * _unlike(found, learned[:, 1:])
        summed = torch.zeros_like(loss).index_add(0, rows, each)
        return loss + summed / torch.bincount(rows, minlength=len(loss)).clamp(min=1)

    def named(self, logits: Tensor) -> Tensor:
        """The boxes that are as sure as usual."""
        output = decoded(logits.float(), 1.0)
        return output * (output[..., SCORE : SCORE + 1] >= USUAL)

    def right(self, named: Tensor, targets: Tensor) -> Tensor:
        pairs = zip(_said(named), _true(targets), strict=True)
        return torch.tensor([quality(said, true) for said, true in pairs], device=targets.device)

    def results(self, named: Tensor, targets: Tensor, classes: int) -> dict[str, float]:
        hits, boxes = torch.zeros(classes), torch.zeros(classes)
        there = torch.zeros(classes)
        for said, true in zip(_said(named), _true(targets), strict=True):
            for box in said:
                boxes[int(box.name)] += 1
            for box in true:
                there[int(box.name)] += 1
            for mine, _, _ in matched_boxes(said, true):
                hits[int(said[mine].name)] += 1
        f1 = 2 * hits / (boxes + there).clamp(min=1)
        return {
            "validation_accuracy": float(self.right(named, targets).mean()),
            "validation_macro_f1": float(f1[there > 0].mean()) if (there > 0).any() else 0.0,
        }

    def counts(self, targets: Tensor, classes: int) -> Tensor:
        return (targets[..., 0, None] == torch.arange(classes, device=targets.device)).any(dim=1).sum(dim=0)

    def kept(self, logits: Tensor) -> Tensor:
        """The boxes, however faint."""
        return decoded(logits, 1.0)

    def output(self, logits: Tensor, temperature: float) -> Tensor:
        return decoded(logits, temperature)


def _center_losses(center: Tensor, bumps: Tensor) -> Tensor:
    """Focal loss of logits of centers against their bumps, both [N, h, w]."""
    chance, top = torch.sigmoid(center), bumps == 1
    hit = -functional.logsigmoid(center) * (1 - chance) ** 2 * top
    miss = -functional.logsigmoid(-center) * chance**2 * (1 - bumps) ** 4 * ~top
    return hit + miss


def _bumps(targets: Tensor, rows: int, columns: int) -> tuple[Tensor, Tensor]:
    """How near each place is to a center, in [0, 1]: [N, h, w]; and the box that it learns: [N, h * w].

    A bump is 1 at the place of a center and falls off with the size of the box. Of boxes that overlap, a
    place learns the one whose center is nearest in its own measure; -1: none.
    """
    device = targets.device
    there = targets[..., 0] >= 0
    most = max(int(there.sum(dim=1).max()), 1)
    order = there.to(torch.int8).argsort(dim=1, descending=True, stable=True)[:, :most]
    some = targets.gather(1, order[:, :, None].expand(-1, -1, 5))
    there = some[..., 0] >= 0
    scale = torch.tensor((columns, rows), device=device, dtype=some.dtype)
    center = ((some[..., 1:3] + some[..., 3:5]) / 2 * scale).floor().minimum(scale - 1)  # [N, M, 2], x and y
    spread = ((some[..., 3:5] - some[..., 1:3]) * scale * _SPREAD).clamp(min=0.35)
    x, y = torch.arange(columns, device=device), torch.arange(rows, device=device)
    across = ((x - center[..., :1]) / spread[..., :1]) ** 2
    down = ((y - center[..., 1:]) / spread[..., 1:]) ** 2
    bump = torch.exp(-(across[:, :, None, :] + down[:, :, :, None]) / 2)  # [N, M, h, w]
    highest, nearest = (bump * there[:, :, None, None]).max(dim=1)
    owner = order.gather(1, nearest.flatten(1))
    return highest, torch.where(highest.flatten(1) >= _NEAR, owner, -1)


def _unlike(found: Tensor, wanted: Tensor) -> Tensor:
    """1 - GIoU of pairs of boxes [D, 4] (Rezatofighi et al., CVPR 2019): [D], in [0, 2]."""
    low, high = torch.maximum(found[:, :2], wanted[:, :2]), torch.minimum(found[:, 2:], wanted[:, 2:])
    shared = (high - low).clamp(min=0).prod(dim=1)
    one, other = ((some[:, 2:] - some[:, :2]).clamp(min=0).prod(dim=1) for some in (found, wanted))
    union = (one + other - shared).clamp(min=1e-9)
    around = torch.maximum(found[:, 2:], wanted[:, 2:]) - torch.minimum(found[:, :2], wanted[:, :2])
    hull = around.clamp(min=0).prod(dim=1).clamp(min=1e-9)
    return 1 - shared / union + (hull - union) / hull


def _said(named: Tensor) -> list[list[Box]]:
    """Boxes of each image, classes by their numbers."""
    rows = named.detach().float().cpu().numpy()
    there = [row[row[:, SCORE] > 0].tolist() for row in rows]
    return [[Box(str(int(one[CLASS])), *one[:4]) for one in row] for row in there]


def _true(targets: Tensor) -> list[list[Box]]:
    rows = targets.detach().cpu().numpy()
    there = [row[row[:, 0] >= 0].tolist() for row in rows]
    return [[Box(str(int(one[0])), *one[1:]) for one in row] for row in there]


MODEL: Model = _Centers()
