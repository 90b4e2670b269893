"""Networks of timm's as backbones: any of its names, without its classifier, behind our uint8 pixels."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn

from linnet.errors import ConfigError
from linnet.vision.fusion import FusionNetwork


def plan_backbone(
    *, name: str, height: int, width: int, channels: int, features: int, classes: int, flip_average: bool
) -> dict[str, Any]:
    """The description `build_network` takes, for timm's network `name`.

    Raises:
        ConfigError: timm knows no such network.
    """
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.partition('.')[0]}*")[:5]
        remedy = (
            f"timm knows {', '.join(near)}" if near else "any name of timm.list_models(), or auto, or small"
        )
        raise ConfigError("train.backbone", f"timm knows no network {name!r}", remedy)
    return {
        "kind": "timm",
        "backbone": name,
        "height": height,
        "width": width,
        "channels": channels,
        "features": features,
        "classes": classes,
        "flip_average": flip_average,
    }


def create_backbone(name: str, height: int, width: int, **more: Any) -> nn.Module:
    """timm's network for images of a size, freshly initialized; nothing is downloaded.

    Raises:
        ConfigError: the network does not take images of that size.
    """
    known = timm.get_pretrained_cfg(name)
    size: dict[str, Any] = {"img_size": (height, width)} if known and known.fixed_input_size else {}
    try:
        model: nn.Module = timm.create_model(name, pretrained=False, **size, **more)
    except Exception as error:  # each of timm's networks complains in its own way
        problem = f"{name} cannot take images of {height} x {width} pixels ({error})"
        raise ConfigError(
            "train.backbone", problem, "set data.height and data.width to its own size"
        ) from error
    return model


class BackboneNetwork(FusionNetwork):
    """One of timm's networks, given pixels normalized as it is used to; a gray image three times over."""

    def __init__(self, architecture: dict[str, Any]) -> None:
        super().__init__(architecture)
        self.backbone = create_backbone(
            architecture["backbone"], architecture["height"], architecture["width"], num_classes=0
        )
        about: Any = self.backbone.pretrained_cfg
        channels = architecture["channels"]
        mean, deviation = (torch.tensor(about[key], dtype=torch.float32) * 255 for key in ("mean", "std"))
        if channels == 1:
            mean, deviation = mean.mean(0, keepdim=True), deviation.mean(0, keepdim=True)
        self.pixel_mean.copy_(mean.view(1, channels, 1, 1))
        self.pixel_scale.copy_(1 / deviation.view(1, channels, 1, 1))
        self._end(_pooled_columns(self.backbone, architecture))

    def pool(self, pixels: Tensor) -> Tensor:
        """Normalized pixels [N, C, H, W] to pooled activations float32 [N, D']."""
        if self.architecture["channels"] == 1:
            pixels = pixels.expand(-1, 3, -1, -1)
        pooled: Tensor = self.backbone(pixels).float()
        return pooled

    def _fit_pixels(self, images: Tensor) -> None:
        """Keeps the constants that the backbone was trained with."""


def _pooled_columns(backbone: nn.Module, architecture: dict[str, Any]) -> int:
    """How many activations the backbone gives an image: asked by a try, because its attributes differ."""
    was = backbone.training
    with torch.no_grad():
        shape = backbone.eval()(torch.zeros(1, 3, architecture["height"], architecture["width"])).shape
    backbone.train(was)
    return int(shape[1])
