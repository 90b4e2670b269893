"""An anchor-free detector: at each place of a map, whether an object's center is there, of which class, and
how far the sides of its box are.

Zhou et al., "Objects as Points" (2019), for the centers; Tian et al., "FCOS" (ICCV 2019), for the distances
to the four sides; Ge et al., "YOLOX" (2021), for a head that tells whether apart from what, so that classes
do not pile up on one object. What it says becomes boxes inside the exported model, by `decoded`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from linnet.tasks.detection.target import MOST
from linnet.vision.dense import DenseNetwork, TopDown
from linnet.vision.fusion import ENCODED

_STRIDE = 8
"""Pixels a place stands for, at most; small images have finer maps."""
_PLACES = 12
"""Places a side that small images have at least."""
_WIDTH = 64
"""Channels of the neck and the head."""
_SIDES = 4
"""Distances of a box from a place."""
_RARE = -3.0
"""Logit of a center before anything is learned: most places are none."""
_FARTHEST = 6.0
"""Bound of the logarithm of a distance in places."""
_LEAST = 0.01
"""Likelihood of a center below which there is no box."""
_SAME = 0.6
"""Overlap from which on the less sure of two boxes is left out, whatever their classes: an object has one."""


class Detector(DenseNetwork):
    """Says [N, 1 + K + 4, h, w], which `parts` takes apart.

    In eval mode with `flip_average`, the mean of what it says of an image and of its mirror image.
    """

    def __init__(self, architecture: dict[str, Any]) -> None:
        super().__init__(architecture)
        self.flip_average = bool(architecture["flip_average"])
        side = min(architecture["height"], architecture["width"])
        wanted = max(1, min(_STRIDE, side // _PLACES))
        self._first = max((k for k, stride in enumerate(self.strides) if stride <= wanted), default=0)
        self.neck = TopDown(self.channels[self._first :], _WIDTH)
        self.tower = nn.Sequential(
            nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(_WIDTH), nn.ReLU()
        )
        self.head = nn.Conv2d(_WIDTH, 1 + architecture["classes"] + _SIDES, 1)
        self.shift = nn.Linear(ENCODED, architecture["classes"])
        """What the statistics of an image say for a class, wherever in it."""
        with torch.no_grad():
            bias: Any = self.head.bias
            bias.zero_()
            bias[0], bias[-_SIDES:] = _RARE, 1.0

    def forward(self, images: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """What is at each place, and the embedding, of uint8 images [N, H, W, C]."""
        said, embedding = super().forward(images, features)
        if self.flip_average and not self.training:
            mirrored, other = super().forward(images.flip(2), features)
            said, embedding = (said + unmirrored(mirrored)) * 0.5, (embedding + other) * 0.5
        center, classes, sides = parts(said)
        classes = classes + self.shift(embedding[:, -ENCODED:]).float()[:, :, None, None]
        return torch.cat((center, classes, sides), dim=1), embedding

    def answered(self, maps: list[Tensor]) -> Tensor:
        """What the pixels alone say."""
        found: Tensor = self.head(self.tower(self.neck(maps[self._first :])))
        return found


def parts(said: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What is said of each place.

    Returns:
        logit of a center [N, 1, h, w]; logits of its class [N, K, h, w]; logarithms of how far the sides of
        its box are, left, up, right and down, in places [N, 4, h, w].
    """
    return said[:, :1], said[:, 1:-_SIDES], said[:, -_SIDES:]


def unmirrored(said: Tensor) -> Tensor:
    """What was said of mirrored images, as of the images themselves."""
    center, classes, sides = parts(said.flip(3))
    return torch.cat((center, classes, sides[:, [2, 1, 0, 3]]), dim=1)


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


def decoded(said: Tensor, temperature: float) -> Tensor:
    """The output [N, 100, 6] of what the network says: peaks, of which the surest of each object stays.

    A score is how likely a center is there, times how likely it is of its likeliest class. Suppression is
    that of Bolya et al., "YOLACT" (ICCV 2019), all boxes at once, which any runtime can do.
    """
    center, classes, sides = parts(said)
    heat = torch.sigmoid(center)
    likely, number = torch.softmax(classes, dim=1).max(dim=1, keepdim=True)
    peak = (heat == functional.max_pool2d(heat, 3, stride=1, padding=1)) & (heat >= _LEAST)
    scores = torch.where(peak, heat * likely, torch.zeros_like(heat)).flatten(1)
    most = min(MOST, heat.shape[2] * heat.shape[3])
    score, place = scores.topk(most, dim=1)
    boxes = _taken(boxes_at(sides).flatten(2).transpose(1, 2).clamp(0, 1), place)
    number = number.flatten(1).gather(1, place)
    score, order = (score * (_repeated(boxes) <= _SAME)).topk(most, dim=1)
    there = (score > 0).to(score.dtype)
    scaled = torch.sigmoid(torch.logit(score.clamp(1e-6, 1 - 1e-6)) / temperature)
    columns = (_taken(boxes, order), scaled[:, :, None], number.gather(1, order)[:, :, None].to(score.dtype))
    return functional.pad(torch.cat(columns, dim=2) * there[:, :, None], (0, 0, 0, MOST - most))


def _taken(boxes: Tensor, order: Tensor) -> Tensor:
    """The rows of boxes [N, P, 4] at the places `order` [N, Q]."""
    return boxes.gather(1, order[:, :, None].expand(-1, -1, _SIDES))


def _repeated(boxes: Tensor) -> Tensor:
    """The largest overlap of each box with a surer one; boxes [N, Q, 4] are sorted: [N, Q]."""
    left, top, right, bottom = (boxes[:, :, side] for side in range(_SIDES))
    shared = _shared(left, right) * _shared(top, bottom)
    area = (right - left).clamp(min=0) * (bottom - top).clamp(min=0)
    union = area[:, :, None] + area[:, None, :] - shared
    overlap = shared / union.clamp(min=1e-9)
    count = boxes.shape[1]
    before = torch.ones(count, count, device=boxes.device).triu(1)  # [surer, box]
    return (overlap * before).amax(dim=1)


def _shared(low: Tensor, high: Tensor) -> Tensor:
    """The common length of each two of the stretches from `low` to `high` [N, Q]: [N, Q, Q]."""
    first, last = torch.maximum(low[:, :, None], low[:, None]), torch.minimum(high[:, :, None], high[:, None])
    return (last - first).clamp(min=0)
