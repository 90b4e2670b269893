"""MixUp and CutMix: images of a batch are mixed with others of it, and so are their labels and statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from linnet.tasks.model import WholeImage


@dataclass(frozen=True)
class Mixing:
    """How strongly images are mixed; where both are above 0, each batch takes one of the two by chance."""

    mixup: float
    """Both parameters of the Beta distribution that a whole image's share is drawn from; 0 for none."""
    cutmix: float
    """The same for the area of a rectangle that another image is cut into; 0 for none."""
    classes: int
    task: WholeImage

    def apply(
        self, images: Tensor, features: Tensor, labels: Tensor, seed: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Mixed images uint8 [N, H, W, C], features float32 [N, F] and labels float32 [N, K].

        What is mixed with what, and how much, is a function of `seed` and N
        alone (Zhang et al., "mixup", 2018; Yun et al., "CutMix", 2019).
        """
        from torchvision.transforms import v2  # it takes a second to import, and most trainings need none

        known: list[Any] = [v2.MixUp(alpha=self.mixup, num_classes=len(images))] if self.mixup else []
        known += [v2.CutMix(alpha=self.cutmix, num_classes=len(images))] if self.cutmix else []
        rows = torch.arange(len(images), device=images.device)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            change = known[int(torch.randint(len(known), ()))]
            # Each image is its own class here: the labels that come back say who is mixed with whom.
            mixed, shares = change(images.permute(0, 3, 1, 2).float(), rows)
        pixels = mixed.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
        return pixels, shares @ features, shares @ self.task.shares(labels, self.classes)
