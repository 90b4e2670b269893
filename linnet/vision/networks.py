"""The networks: a small residual one, described, built, saved and loaded; others are backbones of timm's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from linnet.errors import ConfigError, StorageError
from linnet.vision.fusion import FusionNetwork, PixelNetwork

MODEL_FILE = "model.pt"
Build = Callable[[dict[str, Any]], PixelNetwork]


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


class ResidualNetwork(FusionNetwork):
    """The small network: a stem, and stages of residual blocks."""

    def __init__(self, architecture: dict[str, Any]) -> None:
        super().__init__(architecture)
        channels = architecture["channels"]
        stages, blocks = architecture["stages"], architecture["blocks"]
        stride = architecture["stem_stride"]
        self.stem = (
            Halving(channels, stages[0])
            if stride == 2
            else ConvNorm(channels, stages[0], kernel=stride + 2, stride=stride)
        )
        body: list[nn.Module] = []
        for index, count in enumerate(stages):
            if index:
                body.append(Halving(stages[index - 1], count))
            body.extend(Residual(count) for _ in range(blocks[index]))
        self.body = nn.Sequential(*body)
        self._end(stages[-1])

    def pool(self, pixels: Tensor) -> Tensor:
        """Normalized pixels [N, C, H, W] to pooled activations float32 [N, D']."""
        pooled: Tensor = self.body(self.stem(pixels)).float().mean(dim=(2, 3))
        return pooled


class ConvNorm(nn.Module):
    """Convolution, batch normalization, ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            inputs, outputs, kernel, stride=stride, padding=(kernel - stride + 1) // 2, bias=False
        )
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W]"""
        return functional.relu(self.norm(self.conv(x)))


class Halving(nn.Module):
    """Widens with a convolution and halves the picture by max pooling."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W]"""
        pooled = functional.max_pool2d(self.conv(x), 2)
        return functional.relu(self.norm(pooled))


class Residual(nn.Module):
    """Two convolutions around which the input passes unchanged."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = ConvNorm(width, width)
        self.second = ConvNorm(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[N, C, H, W]"""
        result: Tensor = x + self.second(self.first(x))
        return result


def build_network(architecture: dict[str, Any]) -> FusionNetwork:
    """The network that `architecture` (`plan_architecture`, `plan_backbone`) describes, freshly initialized.

    Raises:
        ConfigError: the description lacks a key, or is of a kind this version does not know.
    """
    kind = architecture.get("kind")
    try:
        if kind == "residual":
            return ResidualNetwork(architecture)
        if kind == "timm":
            from linnet.vision.backbones import BackboneNetwork  # timm takes a second to import

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


def load_model(folder: Path, build: Build = build_network) -> PixelNetwork:
    """The model that `save_model` wrote into `folder`, on the CPU, in eval mode.

    `build`: makes the network of its architecture.

    Raises:
        StorageError: there is none, or it is damaged.
    """
    path = folder / MODEL_FILE
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        model = build(saved["architecture"])
        model.load_state_dict(saved["state"])
    except FileNotFoundError as error:
        raise StorageError(f"{path}: there is no model; train one first") from error
    except Exception as error:  # torch raises many kinds on damaged files
        raise StorageError(f"{path}: not a readable model ({error}); train it again") from error
    return model.eval()
