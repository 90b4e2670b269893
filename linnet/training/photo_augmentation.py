"""Augmentation of photos by torchvision: crops, turns, colors, blur, JPEG noise, and a policy besides."""

from __future__ import annotations

import io
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from linnet.config import TrainConfig

_EDGE = 127
"""Brightness of what comes in from outside when an image is turned: about 0 when normalized."""
_BLUR = (0.1, 2.0)
"""Standard deviation of a blur, in pixels."""
_QUALITY = (20, 90)
"""JPEG quality that noise is made with."""
_RAND_OPERATIONS = 2
"""Operations that RandAugment applies one after another, as its authors recommend."""


@dataclass(frozen=True)
class PhotoAugmentation:
    """What may happen to a photo; each number is that of the setting of `[train]` of the same name."""

    min_crop: float
    policy: str
    rotation: float
    color: float
    blur: float
    jpeg: float

    @classmethod
    def of(cls, config: TrainConfig) -> Self | None:
        """What the config asks for; None: photos are not augmented as photos."""
        if config.augment != "photo":
            return None
        return cls(**{field.name: getattr(config, field.name) for field in fields(cls)})

    def apply(self, images: Tensor, seeds: Tensor) -> Tensor:
        """Images uint8 [N, H, W, C], each changed as its seed int64 [N] says; the size stays."""
        change = self._transform(images.shape[1], images.shape[2])
        changed = []
        # torchvision draws from torch's global numbers: they are lent to each image, and given back.
        with torch.random.fork_rng(devices=[]):
            for image, seed in zip(images.permute(0, 3, 1, 2), seeds.tolist(), strict=True):
                torch.manual_seed(seed)
                changed.append(change(image))
        return torch.stack(changed).permute(0, 2, 3, 1)

    def _transform(self, height: int, width: int) -> Any:
        from torchvision.transforms import v2  # it takes a second to import, and small images need none

        bilinear = v2.InterpolationMode.BILINEAR
        steps: list[Any] = []
        if self.min_crop < 1:
            steps.append(v2.RandomResizedCrop((height, width), scale=(self.min_crop, 1.0), antialias=True))
        if self.rotation:
            steps.append(v2.RandomRotation(self.rotation, interpolation=bilinear, fill=_EDGE))
        if self.color:
            steps.append(v2.ColorJitter(self.color, self.color, self.color))
        if self.policy == "trivial":
            steps.append(v2.TrivialAugmentWide(interpolation=bilinear))
        if self.policy == "rand":
            steps.append(v2.RandAugment(_RAND_OPERATIONS, interpolation=bilinear))
        if self.blur:
            steps.append(v2.RandomApply([v2.GaussianBlur(_kernel(height, width), _BLUR)], self.blur))
        if self.jpeg:
            steps.append(v2.RandomApply([v2.Lambda(_jpeg_noise)], self.jpeg))
        return v2.Compose(steps) if steps else v2.Identity()


def _kernel(height: int, width: int) -> int:
    """Side of a blur's kernel: odd, wide enough for the strongest one, and smaller than the image."""
    return min(13, (min(height, width) - 1) // 2 * 2 + 1)


def _jpeg_noise(image: Tensor) -> Tensor:
    """An image uint8 [C, H, W] after JPEG; by Pillow, since torchvision's own coder is being removed."""
    quality = int(torch.randint(_QUALITY[0], _QUALITY[1] + 1, ()))
    pixels, buffer = image.permute(1, 2, 0).cpu().numpy(), io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, "JPEG", quality=quality)
    read = np.array(Image.open(buffer)).reshape(pixels.shape)
    return torch.from_numpy(read).permute(2, 0, 1).to(image.device)
