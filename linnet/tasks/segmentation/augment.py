"""A map of classes moves with its image, pixel by pixel; background comes in from outside."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from linnet.tasks.augment import Augment, Moves


class _Masks:
    def moved(self, targets: Tensor, moves: Moves) -> Tensor:
        """Targets uint8 [N, H, W]."""
        if moves.mirrored is not None:
            mirrored = moves.mirrored.to(targets.device)
            targets = torch.where(mirrored[:, None, None], targets.flip(2), targets)
        if moves.shift is not None and len(targets):
            shift = moves.shift.to(targets.device)
            reach = int(shift.abs().max())
            padded = functional.pad(targets, (reach, reach, reach, reach))
            windows = padded.unfold(1, moves.height, 1).unfold(2, moves.width, 1)
            rows = torch.arange(len(targets), device=targets.device)
            targets = windows[rows, reach - shift[:, 0], reach - shift[:, 1]]
        return targets


AUGMENT: Augment = _Masks()
