"""Augmentation of photos by torchvision: a random crop at a random scale, and one change besides."""

from __future__ import annotations

import torch
from torch import Tensor

_SMALLEST_CROP = 0.35
"""Share of the area that a crop keeps at least; from 0.08, as ImageNet is trained, objects get lost."""


def augment_photos(images: Tensor, seeds: Tensor) -> Tensor:
    """Images uint8 [N, H, W, C], each changed as its seed int64 [N] says; the size stays.

    RandomResizedCrop, then TrivialAugment (Müller and Hutter, "TrivialAugment", 2021).
    """
    from torchvision.transforms import v2  # it takes a second to import, and small images need none

    size = images.shape[1:3]
    change = v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(_SMALLEST_CROP, 1.0), antialias=True),
            v2.TrivialAugmentWide(interpolation=v2.InterpolationMode.BILINEAR),
        ]
    )
    changed = []
    # torchvision draws from torch's global numbers: they are lent to each image, and given back.
    with torch.random.fork_rng(devices=[]):
        for image, seed in zip(images.permute(0, 3, 1, 2), seeds.tolist(), strict=True):
            torch.manual_seed(seed)
            changed.append(change(image))
    return torch.stack(changed).permute(0, 2, 3, 1)
