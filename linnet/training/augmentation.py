"""Augmentation of whole batches on the device: what to do is drawn on the CPU, one row per sample."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from linnet.tasks.augment import Moves


@dataclass(frozen=True)
class Augmentation:
    """What may be done to training images of a size."""

    height: int
    width: int
    flip: bool
    shift: int
    """Largest shift in pixels, up, down, left and right."""
    cutout: int
    """Side in pixels of the blanked square; 0 for none."""


@dataclass(frozen=True)
class AugmentationParams:
    """What was drawn for each image of a batch of N; all tensors have N rows."""

    spec: Augmentation
    mirrored: Tensor | None
    """bool [N]"""
    offset: Tensor | None
    """int64 [N, 2]: top-left corner in the image padded by `shift`."""
    center: Tensor | None
    """int64 [N, 2]: center of the blanked square."""

    def part(self, rows: slice) -> AugmentationParams:
        """The draws of some of the images."""
        mirrored, offset, center = (
            None if drawn is None else drawn[rows] for drawn in (self.mirrored, self.offset, self.center)
        )
        return AugmentationParams(self.spec, mirrored, offset, center)

    @property
    def moves(self) -> Moves:
        """Where what was in the images is in them now."""
        shift = None if self.offset is None else self.spec.shift - self.offset
        return Moves(self.spec.height, self.spec.width, self.mirrored, shift)

    def apply(self, images: Tensor) -> Tensor:
        """Mirrors, shifts (black comes in from outside) and blanks images uint8 [N, H, W, C]."""
        device = images.device
        if self.mirrored is not None:
            mirrored = self.mirrored.to(device, non_blocking=True)
            images = torch.where(mirrored[:, None, None, None], images.flip(2), images)
        if self.offset is not None:
            offset, reach = self.offset.to(device, non_blocking=True), self.spec.shift
            padded = functional.pad(images, (0, 0, reach, reach, reach, reach))
            windows = padded.unfold(1, self.spec.height, 1).unfold(2, self.spec.width, 1)
            rows = torch.arange(len(images), device=device)
            images = windows[rows, offset[:, 0], offset[:, 1]].permute(0, 2, 3, 1)
        if self.center is not None:
            center = self.center.to(device, non_blocking=True)
            y = _within(center[:, 0], self.spec.height, self.spec.cutout)
            x = _within(center[:, 1], self.spec.width, self.spec.cutout)
            images = images.masked_fill((y[:, :, None] & x[:, None, :])[..., None], 0)
        return images


def draw(spec: Augmentation, chosen: Tensor, epoch: int, numbers: torch.Generator) -> AugmentationParams:
    """Draws for the images with the indices `chosen` int64 [N].

    Mirroring alternates: an image that was mirrored in one epoch is not in the next, so that two
    epochs show every image both ways (Keller Jordan, "94% on CIFAR-10 in 3.29 Seconds", 2024).
    """
    count = len(chosen)
    mirrored = offset = center = None
    if spec.flip:
        scattered = (chosen * 2654435761 >> 16) + epoch  # Knuth's multiplicative hash picks the first side
        mirrored = scattered % 2 == 0
    if spec.shift:
        offset = torch.randint(0, 2 * spec.shift + 1, (count, 2), generator=numbers)
    if spec.cutout:
        y = torch.randint(0, spec.height, (count,), generator=numbers)
        x = torch.randint(0, spec.width, (count,), generator=numbers)
        center = torch.stack((y, x), dim=1)
    return AugmentationParams(spec, mirrored, offset, center)


def _within(center: Tensor, length: int, side: int) -> Tensor:
    """bool [N, length]: the positions within a square of `side` around `center`."""
    start = center[:, None] - side // 2
    positions = torch.arange(length, device=center.device)
    return (positions >= start) & (positions < start + side)
