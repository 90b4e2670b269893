"""Networks that answer about places in an image: a backbone's maps, brought together at one stride."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from linnet.errors import ConfigError
from linnet.vision.fusion import PixelNetwork
from linnet.vision.networks import build_network


class DenseNetwork(PixelNetwork):
    """A backbone without its own head; `maps` are its activations, each half as large as the one before.

    The embedding is the mean of the last map beside the encoded statistics. A subclass brings `answered`.
    What the architecture says of averaging with the mirrored image is not done here.
    """

    def __init__(self, architecture: dict[str, Any]) -> None:
        """Raises ConfigError: the backbone gives no maps, each half as large as the one before."""
        super().__init__(architecture)
        whole = build_network(architecture)
        self.pixel_mean.copy_(whole.pixel_mean)
        self.pixel_scale.copy_(whole.pixel_scale)
        self._timm = architecture["kind"] == "timm"
        if self._timm:
            self.backbone = whole.get_submodule("backbone")
        else:
            self.stem, self.body = whole.get_submodule("stem"), whole.get_submodule("body")
        self.encode = self._encoder()
        maps = self._tried()
        self.channels = tuple(int(one.shape[1]) for one in maps)
        """Of each map, from the finest."""
        self.strides = tuple(round(architecture["height"] / one.shape[2]) for one in maps)
        """Pixels that a place of each map stands for."""
        if self.strides != tuple(self.strides[0] << place for place in range(len(maps))):
            raise self._unfit(f"but at {list(self.strides)}")

    def forward(self, images: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
        """What the head says, N rows, and the embedding float32 [N, D] of uint8 images [N, H, W, C]."""
        maps = self.maps(self.normalized(images))
        pooled = maps[-1].float().mean(dim=(2, 3))
        return self.answered(maps).float(), self.embedded(pooled, features)

    def answered(self, maps: list[Tensor]) -> Tensor:
        """What the head says of the maps."""
        raise NotImplementedError

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """Activations of normalized pixels [N, C, H, W], from the finest to the coarsest."""
        if self._timm:
            if pixels.shape[1] == 1:
                pixels = pixels.expand(-1, 3, -1, -1)
            backbone: Any = self.backbone
            found: list[Tensor] = backbone.forward_intermediates(pixels, intermediates_only=True)
            return found
        found = [self.stem(pixels)]
        for layer in self.body.children():
            after = layer(found[-1])
            if after.shape[2] == found[-1].shape[2]:
                found[-1] = after
            else:
                found.append(after)
        return found

    def _tried(self) -> list[Tensor]:
        """The maps of one image: asked by a try, because the attributes of timm's networks differ."""
        about, was = self.architecture, self.training
        try:
            with torch.no_grad():
                return self.eval().maps(torch.zeros(1, about["channels"], about["height"], about["width"]))
        except Exception as error:  # each of timm's networks complains in its own way
            raise self._unfit(f"({error})") from error
        finally:
            self.train(was)

    def _unfit(self, why: str) -> ConfigError:
        problem = f"{self.architecture.get('backbone', 'small')} gives no maps at halved sizes, {why}"
        return ConfigError("train.backbone", problem, "name a convolutional network, such as auto")

    def _fit_pixels(self, images: Tensor) -> None:
        """A pretrained backbone keeps the constants that it was trained with."""
        if not self._timm:
            super()._fit_pixels(images)


class TopDown(nn.Module):
    """Maps brought to one width and added up from the coarsest to the finest that is asked for.

    Lin et al., "Feature Pyramid Networks for Object Detection" (CVPR 2017), its finest level alone.
    """

    def __init__(self, channels: tuple[int, ...], width: int) -> None:
        """`channels`: of the maps, from the finest."""
        super().__init__()
        self.sides = nn.ModuleList(nn.Conv2d(count, width, 1) for count in channels)
        self.smooth = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU()
        )

    def forward(self, maps: list[Tensor]) -> Tensor:
        """float32 [N, width, h, w] of the finest map's size."""
        found: Tensor = self.sides[-1](maps[-1])
        for side, one in zip(reversed(self.sides[:-1]), reversed(maps[:-1]), strict=True):
            found = side(one) + functional.interpolate(found, size=one.shape[2:], mode="nearest")
        smoothed: Tensor = self.smooth(found)
        return smoothed
