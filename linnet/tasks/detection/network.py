"""An anchor-free detector: at each place of a map, how likely a center of each class is, and a box's sides.

Zhou et al., "Objects as Points" (2019), for the centers; Tian et al., "FCOS" (ICCV 2019), for the distances
to the four sides. What it says becomes boxes inside the exported model, by `decoded`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from linnet.tasks.detection.target import MOST
from linnet.vision.dense import DenseNetwork, TopDown

_STRIDE = 8
"""Pixels a place stands for, at most; small images have finer maps."""
_PLACES = 12
"""Places a side that small images have at least."""
_WIDTH = 64
"""Channels of the neck and the head."""
_RARE = -3.0
"""Logit of a center before anything is learned: most places are none."""
_FARTHEST = 6.0
"""Bound of the logarithm of a distance in places."""
_LEAST = 0.01
"""Score below which a peak is no box."""
_SAME = 0.6
"""Overlap from which on the less sure of two boxes of a class is left out."""


class Detector(DenseNetwork):
    """Says [N, K + 4, h, w]: logits of centers, then logarithms of the distances left, up, right and down."""

    def __init__(self, architecture: dict[str, Any]) -> None:
        super().__init__(architecture)
        side = min(architecture["height"], architecture["width"])
        wanted = max(1, min(_STRIDE, side // _PLACES))
        self._first = max((k for k, stride in enumerate(self.strides) if stride <= wanted), default=0)
        self.neck = TopDown(self.channels[self._first :], _WIDTH)
        self.tower = nn.Sequential(
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(_WIDTH), nn.ReLU()
        )
        self.centers = nn.Conv2d(_WIDTH, architecture["classes"], 1)
        self.sides = nn.Conv2d(_WIDTH, 4, 1)
        nn.init.constant_(self.centers.bias, _RARE)  # type: ignore[arg-type]
        nn.init.constant_(self.sides.bias, 1.0)  # type: ignore[arg-type]

    def answered(self, maps: list[Tensor]) -> Tensor:
        """Logits of centers and sides."""
        found = self.tower(self.neck(maps[self._first :]))
        return torch.cat((self.centers(found), self.sides(found)), dim=1)


def boxes_at(sides: Tensor) -> Tensor:
    """Boxes [N, 4, h, w] in shares of the image, of logarithms of distances [N, 4, h, w] in places."""
    rows, columns = sides.shape[2], sides.shape[3]
    y = ((torch.arange(rows, device=sides.device) + 0.5) / rows)[:, None].expand(rows, columns)
    x = ((torch.arange(columns, device=sides.device) + 0.5) / columns)[None].expand(rows, columns)
    away = sides.clamp(-_FARTHEST, _FARTHEST).exp()
    return torch.stack(
        (
            x - away[:, 0] / columns,
            y - away[:, 1] / rows,
            x + away[:, 2] / columns,
            y + away[:, 3] / rows,
        ),
        dim=1,
    )


def decoded(logits: Tensor, temperature: float) -> Tensor:
    """The output [N, 100, 6] of what the network says: peaks, of which the surest of each object stays.

    Suppression is that of Bolya et al., "YOLACT" (ICCV 2019), all boxes at once, which any runtime can do.
    """
    heat, boxes = torch.sigmoid(logits[:, :-4]), boxes_at(logits[:, -4:])
    peak = (heat == functional.max_pool2d(heat, 3, stride=1, padding=1)) & (heat >= _LEAST)
    scores = torch.where(peak, heat, torch.zeros_like(heat)).flatten(1)
    places = heat.shape[2] * heat.shape[3]
    most = min(MOST, heat.shape[1] * places)
    score, index = scores.topk(most, dim=1)
    number = torch.div(index, places, rounding_mode="floor")
    place = index - number * places
    sides = boxes.flatten(2).transpose(1, 2).clamp(0, 1).gather(1, place[:, :, None].expand(-1, -1, 4))
    score = score * (_repeated(sides, number) <= _SAME)
    score, order = score.topk(most, dim=1)
    sides = sides.gather(1, order[:, :, None].expand(-1, -1, 4))
    number = number.gather(1, order)
    there = (score > 0).to(score.dtype)
    scaled = torch.sigmoid(torch.logit(score.clamp(1e-6, 1 - 1e-6)) / temperature)
    columns = torch.cat((sides, scaled[:, :, None], number[:, :, None].to(score.dtype)), dim=2)
    return functional.pad(columns * there[:, :, None], (0, 0, 0, MOST - most))


def _repeated(sides: Tensor, number: Tensor) -> Tensor:
    """The largest overlap of each box with a surer one of its class; boxes [N, Q, 4] are sorted: [N, Q]."""
    low = torch.maximum(sides[:, :, None, :2], sides[:, None, :, :2])
    high = torch.minimum(sides[:, :, None, 2:], sides[:, None, :, 2:])
    shared = (high - low).clamp(min=0).prod(dim=3)
    area = (sides[:, :, 2:] - sides[:, :, :2]).clamp(min=0).prod(dim=2)
    union = area[:, :, None] + area[:, None, :] - shared
    overlap = shared / union.clamp(min=1e-9)
    count = sides.shape[1]
    before = torch.ones(count, count, device=sides.device).triu(1)  # [surer, box]
    same = (number[:, :, None] == number[:, None, :]).to(overlap.dtype)
    return (overlap * same * before).amax(dim=1)
