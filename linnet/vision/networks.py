"""The networks: each fuses pixels with image statistics. A small residual network, or a backbone of timm's.

Everything between uint8 pixels and logits happens inside `forward`: scaling, normalising (constants
are buffers) and, in eval mode, averaging with the mirrored image. So the exported model takes what
`linnet.vision.decode.resize` gives, and nothing about preprocessing is left for a server to repeat.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from linnet.errors import ConfigError, StorageError

MODEL_FILE = "model.pt"
_ENCODED = 32
"""Columns that the image statistics are encoded into."""
_CLAMP = 6.0
"""Normalised features are clamped here, so that one absurd value cannot dominate the logits."""


def plan_architecture(
    *,
    height: int,
    width: int,
    channels: int,
    features: int,
    classes: int,
    base: int = 32,
    depth: int = 1,
    flip_average: bool = True,
) -> dict[str, Any]:
    """The description `build_network` takes, for images of a size.

    Early stages cost the most, so images of 16 pixels and more are halved by the stem at once, and
    stages double the channels while the picture halves down to 3 to 6 pixels a side. The stem halves
    by a convolution at full size and pooling, which beat a strided one at equal cost; from 96 pixels
    on that would cost too much. The stage behind it has no residual block: there one costs as much
    as in any later stage, and gives less.
    """
    side = min(height, width)
    stem_stride = 1 if side < 16 else 2 if side < 96 else 4
    side //= stem_stride
    stages = [base]
    while side >= 6 and len(stages) < 4:
        stages.append(stages[-1] * 2)
        side //= 2
    return {
        "kind": "residual",
        "height": height,
        "width": width,
        "channels": channels,
        "features": features,
        "classes": classes,
        "stem_stride": stem_stride,
        "stages": stages,
        "blocks": [depth if stem_stride == 1 else 0] + [depth] * (len(stages) - 1),
        "flip_average": flip_average,
    }


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


class ResidualNetwork(FusionNetwork):
    """The small network: a stem, and stages of residual blocks."""

    def __init__(self, architecture: dict[str, Any]) -> None:
        super().__init__(architecture)
        channels = architecture["channels"]
        stages, blocks = architecture["stages"], architecture["blocks"]
        stride = architecture["stem_stride"]
        self.stem = (
            _Halving(channels, stages[0])
            if stride == 2
            else _ConvNorm(channels, stages[0], kernel=stride + 2, stride=stride)
        )
        body: list[nn.Module] = []
        for index, count in enumerate(stages):
            if index:
                body.append(_Halving(stages[index - 1], count))
            body.extend(_Residual(count) for _ in range(blocks[index]))
        self.body = nn.Sequential(*body)
        self._end(stages[-1])

    def pool(self, pixels: Tensor) -> Tensor:
        """Normalised pixels [N, C, H, W] to pooled activations float32 [N, D']."""
        pooled: Tensor = self.body(self.stem(pixels)).float().mean(dim=(2, 3))
        return pooled


class _ConvNorm(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride=stride, padding=(kernel - stride + 1) // 2, bias=False
        )
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(self.conv(x)))


class _Halving(nn.Module):
    """Widens with a convolution and halves the picture by max pooling."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        pooled = functional.max_pool2d(self.conv(x), 2)
        return functional.relu(self.norm(pooled))


class _Residual(nn.Module):
    """Two convolutions around which the input passes unchanged."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = _ConvNorm(width, width)
        self.second = _ConvNorm(width, width)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.second(self.first(x))
        return result


def build_network(architecture: dict[str, Any]) -> FusionNetwork:
    """The network that `architecture` (`plan_architecture`, `plan_backbone`) describes, freshly initialised.

    Raises:
        ConfigError: the description lacks a key, or is of a kind this version does not know.
    """
    kind = architecture.get("kind")
    try:
        if kind == "residual":
            return ResidualNetwork(architecture)
        if kind == "timm":
            from linnet.vision.backbones import BackboneNetwork  # it builds on this module, and needs timm

            return BackboneNetwork(architecture)
    except KeyError as error:
        raise ConfigError("architecture", f"lacks {error}", "train the model again") from error
    raise ConfigError("architecture.kind", f"{kind!r} is unknown", "known: residual, timm")


def save_model(folder: Path, model: nn.Module) -> Path:
    """Writes `model.pt` into `folder` at once or not at all; gives its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MODEL_FILE
    partial = path.with_suffix(".partial")
    state = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    torch.save({"architecture": model.architecture, "state": state}, partial)
    partial.replace(path)
    return path


def load_model(folder: Path) -> FusionNetwork:
    """The model that `save_model` wrote into `folder`, on the CPU, in eval mode.

    Raises:
        StorageError: there is none, or it is damaged.
    """
    path = folder / MODEL_FILE
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        model = build_network(saved["architecture"])
        model.load_state_dict(saved["state"])
    except FileNotFoundError as error:
        raise StorageError(f"{path}: there is no model; train one first") from error
    except Exception as error:  # torch raises many kinds on damaged files
        raise StorageError(f"{path}: not a readable model ({error}); train it again") from error
    return model.eval()
