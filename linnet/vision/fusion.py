"""What every network has: it fuses pixels with image statistics, and a linear head answers.

Everything between uint8 pixels and logits happens inside `forward`: scaling, normalising (constants
are buffers) and, in eval mode, averaging with the mirrored image. So the exported model takes what
`linnet.vision.decode.resize` gives, and nothing about preprocessing is left for a server to repeat.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

_ENCODED = 32
"""Columns that the image statistics are encoded into."""
_CLAMP = 6.0
"""Normalised features are clamped here, so that one absurd value cannot dominate the logits."""


class FusionNetwork(nn.Module):
    """What every network here has: constants, a way to pool pixels, and a linear head beside statistics.

    forward(images uint8 [N, H, W, C], features float32 [N, F]) gives logits float32 [N, K] and the
    embedding float32 [N, D]; the logits are a linear function of the embedding. A subclass brings
    `pool` and calls `_end` once its own layers stand.
    """

    pixel_mean: Tensor
    pixel_scale: Tensor
    feature_mean: Tensor
    feature_scale: Tensor

    def __init__(self, architecture: dict[str, Any]) -> None:
        super().__init__()
        self.architecture = dict(architecture)
        channels, features = architecture["channels"], architecture["features"]
        self.flip_average = bool(architecture["flip_average"])
        self.register_buffer("pixel_mean", torch.full((1, channels, 1, 1), 127.5))
        self.register_buffer("pixel_scale", torch.full((1, channels, 1, 1), 1 / 64))
        self.register_buffer("feature_mean", torch.zeros(1, features))
        self.register_buffer("feature_scale", torch.ones(1, features))

    def _end(self, pooled: int) -> None:
        """Adds what stands behind `pooled` activations: the encoder of the statistics, and the head."""
        self.encode = nn.Sequential(nn.Linear(self.architecture["features"], _ENCODED), nn.ReLU())
        self.head = nn.Linear(pooled + _ENCODED, self.architecture["classes"])

    def forward(self, images: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits float32 [N, K] and embedding float32 [N, D] of uint8 images [N, H, W, C]."""
        return self.classify(self.pooled(images), features)

    def pooled(self, images: Tensor) -> Tensor:
        """Pooled activations float32 [N, D'] of images; in eval mode averaged with the mirror image's."""
        pixels = images.permute(0, 3, 1, 2).to(torch.float32)
        pixels = (pixels - self.pixel_mean) * self.pixel_scale
        pooled = self.pool(pixels)
        if self.flip_average and not self.training:
            pooled = (pooled + self.pool(torch.flip(pixels, (3,)))) * 0.5
        return pooled

    def classify(self, pooled: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and embedding of pooled activations and statistics."""
        scaled = (features - self.feature_mean) * self.feature_scale
        encoded = self.encode(torch.clamp(scaled, -_CLAMP, _CLAMP))
        embedding = torch.cat((pooled, encoded.float()), dim=1)
        return self.head(embedding).float(), embedding

    @property
    def pooled_columns(self) -> int:
        """D' of the pooled activations."""
        return self.head.in_features - _ENCODED

    def pool(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [N, C, H, W] to pooled activations float32 [N, D']."""
        raise NotImplementedError

    @torch.no_grad()
    def fit_constants(self, images: Tensor, features: Tensor) -> None:
        """Sets the normalising constants from training images [N, H, W, C] and features [N, F]."""
        self._fit_pixels(images)
        self.feature_mean.copy_(features.mean(dim=0, keepdim=True))
        deviation = features.std(dim=0, keepdim=True)
        self.feature_scale.copy_(torch.where(deviation > 1e-6, 1 / deviation.clamp_min(1e-6), 0.0))

    def _fit_pixels(self, images: Tensor) -> None:
        pixels = images.permute(0, 3, 1, 2).to(torch.float32)
        self.pixel_mean.copy_(pixels.mean(dim=(0, 2, 3), keepdim=True))
        self.pixel_scale.copy_(1 / pixels.std(dim=(0, 2, 3), keepdim=True).clamp_min(1.0))
