"""Boxes are mirrored and shifted with their images; what leaves an image is cut off."""

from __future__ import annotations

import torch
from torch import Tensor

from linnet.tasks.augment import Augment, Moves
from linnet.tasks.detection.target import NOTHING

_LEAST_LEFT = 0.25
"""Share of a box's area that must still be in the image; of less nobody could tell what it is."""


class _Boxes:
    def moved(self, targets: Tensor, moves: Moves) -> Tensor:
        number, sides = targets[..., :1], targets[..., 1:]
        if moves.mirrored is not None:
            swapped = torch.stack(
                (1 - sides[..., 2], sides[..., 1], 1 - sides[..., 0], sides[..., 3]), dim=-1
            )
            sides = torch.where(moves.mirrored.to(sides.device)[:, None, None], swapped, sides)
        if moves.shift is not None:
            shift = moves.shift.to(sides.device).flip(1) / torch.tensor(
                (moves.width, moves.height), device=sides.device
            )
            whole = sides + shift.repeat(1, 2)[:, None]
            sides = whole.clamp(0, 1)
            gone = _area(sides) < _LEAST_LEFT * _area(whole)
            number = torch.where(gone[..., None], NOTHING, number)
        there = number >= 0
        return torch.cat((torch.where(there, number, NOTHING), torch.where(there, sides, 0.0)), dim=-1)


def _area(sides: Tensor) -> Tensor:
    return (sides[..., 2] - sides[..., 0]).clamp_min(0) * (sides[..., 3] - sides[..., 1]).clamp_min(0)


AUGMENT: Augment = _Boxes()
