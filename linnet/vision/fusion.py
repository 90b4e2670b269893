"""What every network has: it fuses pixels with image statistics, and a linear head answers.

Everything between uint8 pixels and logits happens inside `forward`: scaling, normalizing (constants
are buffers) and, in eval mode, averaging with the mirrored image. So the exported model takes what
`linnet.vision.decode.resize` gives, and nothing about preprocessing is left for a server to repeat.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

ENCODED = 32
"""Columns that the image statistics are encoded into."""
_CLAMP = 6.0
"""Normalized features are clamped here, so that one absurd value cannot dominate the logits."""


class PixelNetwork(nn.Module):
    """What every network here has: constants of pixels and statistics, and an encoder of the statistics.

    forward(images uint8 [N, H, W, C], features float32 [N, F]) gives logits, N rows of whatever its head
    answers, and the embedding float32 [N, D].
    """

    pixel_mean: Tensor
    pixel_scale: Tensor
    feature_mean: Tensor
    feature_scale: Tensor
    encode: nn.Sequential

    def __init__(self, architecture: dict[str, Any]) -> None:
        super().__init__()
        self.architecture = dict(architecture)
        channels, features = architecture["channels"], architecture["features"]
        self.register_buffer("pixel_mean", torch.full((1, channels, 1, 1), 127.5))
        self.register_buffer("pixel_scale", torch.full((1, channels, 1, 1), 1 / 64))
        self.register_buffer("feature_mean", torch.zeros(1, features))
        self.register_buffer("feature_scale", torch.ones(1, features))

    def _encoder(self) -> nn.Sequential:
        """What `embedded` encodes the statistics by."""
        return nn.Sequential(nn.Linear(self.architecture["features"], ENCODED), nn.ReLU())

    def normalized(self, images: Tensor) -> Tensor:
        """Images uint8 [N, H, W, C] as the layers take them: float32 [N, C, H, W]."""
        pixels = images.permute(0, 3, 1, 2).to(torch.float32)
        return (pixels - self.pixel_mean) * self.pixel_scale

    def embedded(self, pooled: Tensor, features: Tensor) -> Tensor:
        """Pooled activations [N, D'] with the encoded statistics beside them: the embedding [N, D]."""
        scaled = (features - self.feature_mean) * self.feature_scale
        encoded = self.encode(torch.clamp(scaled, -_CLAMP, _CLAMP))
        return torch.cat((pooled, encoded.float()), dim=1)

    @torch.no_grad()
    def fit_constants(self, images: Tensor, features: Tensor) -> None:
        """Sets the normalizing constants from training images [N, H, W, C] and features [N, F]."""
        self._fit_pixels(images)
        self.feature_mean.copy_(features.mean(dim=0, keepdim=True))
        deviation = features.std(dim=0, keepdim=True)
        self.feature_scale.copy_(torch.where(deviation > 1e-6, 1 / deviation.clamp_min(1e-6), 0.0))

    def _fit_pixels(self, images: Tensor) -> None:
        pixels = images.permute(0, 3, 1, 2).to(torch.float32)
        self.pixel_mean.copy_(pixels.mean(dim=(0, 2, 3), keepdim=True))
        self.pixel_scale.copy_(1 / pixels.std(dim=(0, 2, 3), keepdim=True).clamp_min(1.0))


class FusionNetwork(PixelNetwork):
    """Pixels are pooled, and a linear head answers beside statistics.

    The logits float32 [N, K] are a linear function of the embedding. A subclass brings `pool` and calls
    `_end` once its own layers stand.
    """

    def __init__(self, architecture: dict[str, Any]) -> None:
        super().__init__(architecture)
        self.flip_average = bool(architecture["flip_average"])

    def _end(self, pooled: int) -> None:
        """Adds what stands behind `pooled` activations: the encoder of the statistics, and the head."""
        self.encode = self._encoder()
        self.head = nn.Linear(pooled + ENCODED, self.architecture["classes"])

    def forward(self, images: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits float32 [N, K] and embedding float32 [N, D] of uint8 images [N, H, W, C]."""
        return self.classify(self.pooled(images), features)

    def pooled(self, images: Tensor) -> Tensor:
        """Pooled activations float32 [N, D'] of images; in eval mode averaged with the mirror image's."""
        pixels = self.normalized(images)
        pooled = self.pool(pixels)
        if self.flip_average and not self.training:
            pooled = (pooled + self.pool(torch.flip(pixels, (3,)))) * 0.5
        return pooled

    def classify(self, pooled: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and embedding of pooled activations and statistics."""
        embedding = self.embedded(pooled, features)
        return self.head(embedding).float(), embedding

    @property
    def pooled_columns(self) -> int:
        """D' of the pooled activations."""
        return self.head.in_features - ENCODED

    def pool(self, pixels: Tensor) -> Tensor:
        """Normalized pixels [N, C, H, W] to pooled activations float32 [N, D']."""
        raise NotImplementedError
