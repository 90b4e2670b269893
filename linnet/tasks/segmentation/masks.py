"""The text of a segmentation: which class each pixel of an image belongs to, as COCO's runs a class.

    {"size":[96,128],"masks":{"bag":"0Pl1...","shoe":"..."}}

Height and width, then a mask a class in the order of the names, none of them empty; each pixel belongs to
one class at most, the others are background. One text a segmentation: equal ones are equal texts. A mask
takes some bytes a line of its outline: 300 bytes for a scene of 96 x 96 pixels, 20 kB for a large photo.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.vision import rle

Indices = npt.NDArray[np.uint8]
"""[H, W]: 0 for background, k + 1 for the class k."""
MOST_CLASSES = 254
MOST_PIXELS = 178_956_970
"""As many as the largest image that is ever read may have."""


@dataclass(frozen=True, slots=True)
class Segmentation:
    """A text that was read: its size, and the runs of each class as they stand there."""

    height: int
    width: int
    runs: Mapping[str, str]

    @property
    def text(self) -> str:
        """As it is written."""
        return text_of(self.height, self.width, self.runs)

    def mask(self, name: str) -> rle.Mask:
        """The pixels of a class: [H, W].

        Raises:
            ValueError: its runs are no mask of that size.
        """
        if name not in self.runs:
            return np.zeros((self.height, self.width), np.bool_)
        return rle.decode(self.runs[name], self.height, self.width)

    def indices(self, classes: Sequence[str]) -> Indices:
        """Each pixel's class, of those that are given; others are background.

        Raises:
            ValueError: the runs of a class are no mask of that size, or two classes claim a pixel.
        """
        found: Indices = np.zeros((self.height, self.width), np.uint8)
        for number, name in enumerate(classes, 1):
            if name in self.runs:
                mask = self.mask(name)
                if found[mask].any():
                    other = classes[int(found[mask].max()) - 1]
                    raise ValueError(f"pixels that are both {other!r} and {name!r}")
                found[mask] = number
        return found


def text_of(height: int, width: int, runs: Mapping[str, str]) -> str:
    """The text of masks that are no pixel's twice; empty ones must not be among them."""
    about = {"size": [height, width], "masks": {name: runs[name] for name in sorted(runs)}}
    return json.dumps(about, ensure_ascii=False, separators=(",", ":"))


def of_indices(indices: npt.NDArray[Any], classes: Sequence[str]) -> Segmentation:
    """The segmentation of a map of classes [H, W]: 0 for background, k + 1 for the class k.

    Raises:
        ValueError: a value is no class.
    """
    present = np.unique(indices)
    if len(present) and (present[0] < 0 or present[-1] > len(classes)):
        raise ValueError(f"the value {present[-1]} where there are {len(classes)} classes")
    height, width = indices.shape
    runs = {classes[int(k) - 1]: rle.encode(indices == k) for k in present if k}
    return Segmentation(height, width, runs)


def of_masks(masks: Sequence[tuple[str, rle.Mask]], height: int, width: int) -> tuple[Segmentation, int]:
    """Objects laid over one another, the later ones on top; and the pixels that several classes claim."""
    names = sorted({name for name, _ in masks})
    found, claimed = np.zeros((height, width), np.uint8), 0
    for name, mask in masks:
        number = names.index(name) + 1
        claimed += int(((found > 0) & (found != number) & mask).sum())
        found[mask] = number
    return of_indices(found, names), claimed


@lru_cache(4096)
def parsed(text: str) -> Segmentation:
    """A text that was written here: its masks are looked at where they are drawn.

    Raises:
        ValueError: it is no JSON of a segmentation.
    """
    try:
        about = json.loads(text)
        height, width = about["size"]
        runs = about["masks"]
        if set(about) != {"size", "masks"} or not all(type(side) is int for side in (height, width)):
            raise ValueError("size and masks alone are known")
        if not isinstance(runs, dict) or not all(isinstance(value, str) for value in runs.values()):
            raise ValueError("masks are no texts")
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ValueError(f"no segmentation: {text[:60]!r} ({error!s:.80})") from error
    if height < 1 or width < 1 or height * width > MOST_PIXELS or len(runs) > MOST_CLASSES:
        raise ValueError(f"a segmentation of {height} x {width} pixels and {len(runs)} classes")
    return Segmentation(height, width, runs)


def read(text: str) -> Segmentation:
    """A text that somebody else wrote, in one spelling.

    Raises:
        ValueError: what is wrong with it, such as two classes for a pixel, or an empty mask.
    """
    found = parsed(text)
    total = sum(_pixels(found, name) for name in found.runs)
    masks = {name: found.mask(name) for name in found.runs}
    together = np.zeros((found.height, found.width), np.bool_)
    for mask in masks.values():
        together |= mask
    if int(together.sum()) != total:
        raise ValueError("a segmentation with pixels that two classes claim")
    return Segmentation(found.height, found.width, {name: rle.encode(mask) for name, mask in masks.items()})


def _pixels(found: Segmentation, name: str) -> int:
    """The pixels of a mask, without drawing it.

    Raises:
        ValueError: it has none, or is none.
    """
    runs = rle.runs_in(found.runs[name])
    if (runs < 0).any() or int(runs.sum()) != found.height * found.width:
        raise ValueError(f"a mask of {name!r} that does not have {found.height} x {found.width} pixels")
    pixels = int(runs[1::2].sum())
    if not pixels:
        raise ValueError(f"an empty mask of {name!r}")
    return pixels


def resized(indices: Indices, height: int, width: int) -> Indices:
    """A map of classes at another size, by the nearest pixel: classes have no values between them."""
    if indices.shape == (height, width):
        return indices
    rows = (np.arange(height) * 2 + 1) * indices.shape[0] // (2 * height)
    columns = (np.arange(width) * 2 + 1) * indices.shape[1] // (2 * width)
    found: Indices = indices[np.ix_(rows, columns)]
    return found
