"""A backbone, and the decoder of a U-Net behind it: logits for every second pixel.

The decoder is that of segmentation-models-pytorch (MIT); backbones are timm's that give maps at halved
sizes, or the small network's stages. Ronneberger et al., "U-Net" (2015), arXiv 1505.04597.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from linnet.errors import ConfigError
from linnet.vision.fusion import ENCODED, PixelNetwork
from linnet.vision.networks import ConvNorm, Halving, Residual

STRIDE = 2
"""Pixels of the image a side of a logit."""
_WIDEST, _NARROWEST = 128, 24
"""Channels of the decoder's first and last block."""


class SegmentationNetwork(PixelNetwork):
    """forward gives logits float32 [N, K + 1, H / 2, W / 2], background first, and the embedding."""

    def __init__(self, architecture: dict[str, Any]) -> None:
        super().__init__(architecture)
        from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder

        self.flip_average = bool(architecture["flip_average"])
        self.backbone, channels, strides = _backbone(architecture)
        _check_size(architecture, strides)
        self._timm = architecture["kind"] == "timm"
        if self._timm:
            _take_constants(self, self.backbone, architecture["channels"])
        blocks = len(strides) - 1 if strides[0] == STRIDE else len(strides)
        widths = [max(_NARROWEST, _WIDEST >> place) for place in range(blocks)]
        self.decoder = UnetDecoder((architecture["channels"], *channels), widths, n_blocks=blocks)
        self.encode = self._encoder()
        outputs = architecture["classes"] + 1
        self.head = nn.Conv2d(widths[-1], outputs, 3, padding=1)
        self.shift = nn.Linear(ENCODED, outputs)
        """What the statistics of an image say for a class, wherever in it."""

    def forward(self, images: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and embedding of uint8 images [N, H, W, C]."""
        pixels = self.normalized(images)
        logits, pooled = self._decoded(pixels)
        if self.flip_average and not self.training:
            mirrored, other = self._decoded(torch.flip(pixels, (3,)))
            logits, pooled = (logits + torch.flip(mirrored, (3,))) * 0.5, (pooled + other) * 0.5
        embedding = self.embedded(pooled, features)
        encoded = embedding[:, pooled.shape[1] :]
        return logits + self.shift(encoded).float()[:, :, None, None], embedding

    def _decoded(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the pixels alone, and pooled activations."""
        seen = pixels
        if self._timm and pixels.shape[1] == 1:
            seen = pixels.expand(-1, 3, -1, -1)
        maps = _maps_of(self.backbone, seen) if self._timm else self.backbone(seen)
        # Of a backbone whose first map is a quarter of the image, the last block has none beside it.
        around = [pixels, *maps] if self._halves(maps, pixels) else [pixels[:, :, ::2, ::2], *maps]
        logits: Tensor = self.head(self.decoder(around))
        return logits.float(), maps[-1].float().mean(dim=(2, 3))

    def _halves(self, maps: list[Tensor], pixels: Tensor) -> bool:
        return maps[0].shape[2] * STRIDE == pixels.shape[2]

    def _fit_pixels(self, images: Tensor) -> None:
        """A backbone of timm's keeps the constants that it was trained with."""
        if not self._timm:
            super()._fit_pixels(images)


class _Stages(nn.Module):
    """The small network's stages, each at half the size of the one before; gives the maps of all."""

    def __init__(self, channels: int, stages: list[int], depth: int) -> None:
        super().__init__()
        self.stem = ConvNorm(channels, max(stages[0] // 2, 8))
        widths = [max(stages[0] // 2, 8), *stages]
        self.stages = nn.ModuleList(
            nn.Sequential(Halving(before, after), *(Residual(after) for _ in range(depth)))
            for before, after in zip(widths, stages, strict=False)
        )

    def forward(self, pixels: Tensor) -> list[Tensor]:
        found, seen = [], self.stem(pixels)
        for stage in self.stages:
            seen = stage(seen)
            found.append(seen)
        return found


def _backbone(architecture: dict[str, Any]) -> tuple[nn.Module, list[int], list[int]]:
    """The backbone, and channels and strides of its maps.

    Raises:
        ConfigError: it gives no maps at halved sizes.
    """
    if architecture["kind"] == "residual":
        stages = list(architecture["stages"])
        depth = max(1, *architecture["blocks"])
        found = _Stages(architecture["channels"], stages, depth)
        return found, stages, [STRIDE << place for place in range(len(stages))]
    from linnet.vision.backbones import create_backbone  # timm takes a second to import

    name = architecture["backbone"]
    problem, remedy = f"{name} gives no maps at halved sizes", "name a convolutional network, such as auto"
    size = architecture["height"], architecture["width"]
    backbone: Any = create_backbone(name, *size, num_classes=0)
    try:
        with torch.no_grad():
            maps = _maps_of(backbone.eval(), torch.zeros(1, 3, *size))
    except Exception as error:  # each of timm's networks complains in its own way
        raise ConfigError("train.backbone", f"{problem} ({error})", remedy) from error
    strides = [size[0] // one.shape[2] for one in maps]
    first = strides[0]
    if first not in (STRIDE, 2 * STRIDE) or strides != [first << place for place in range(len(strides))]:
        raise ConfigError("train.backbone", f"{problem}, but at {strides}", remedy)
    return backbone.train(), [int(one.shape[1]) for one in maps], strides


def _maps_of(backbone: Any, pixels: Tensor) -> list[Tensor]:
    """The maps of one of timm's networks, from the finest; all with the names of its own weights."""
    found: list[Tensor] = backbone.forward_intermediates(pixels, intermediates_only=True)
    return found


def _check_size(architecture: dict[str, Any], strides: list[int]) -> None:
    """Raises ConfigError: maps that are not halved evenly would not lie on one another."""
    last = strides[-1]
    for side in ("height", "width"):
        if architecture[side] % last:
            near = max(last, round(architecture[side] / last) * last)
            problem = f"is {architecture[side]}, but the network halves an image to 1/{last} of its side"
            raise ConfigError(f"data.{side}", problem, f"set it to a multiple of {last}, such as {near}")


def _take_constants(network: PixelNetwork, backbone: Any, channels: int) -> None:
    """The pixels' mean and scale that a backbone of timm's was trained with."""
    about = backbone.pretrained_cfg
    mean, deviation = (torch.tensor(about[key], dtype=torch.float32) * 255 for key in ("mean", "std"))
    if channels == 1:
        mean, deviation = mean.mean(0, keepdim=True), deviation.mean(0, keepdim=True)
    network.pixel_mean.copy_(mean.view(1, channels, 1, 1))
    network.pixel_scale.copy_(1 / deviation.view(1, channels, 1, 1))
