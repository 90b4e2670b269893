"""Colors as sRGB, which is what every network was trained with and every browser shows.

A camera or an editor says in an ICC profile what its numbers mean (Display P3, Adobe RGB, a printer's
CMYK). Taken as they are, they would be other colors than a person sees.
"""

from __future__ import annotations

import io
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from PIL import ImageCms

_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
_MOST_PROFILE = 4 << 20
"""Bytes of a profile that are looked at: a printer's has up to about 2 MB."""
_ALIKE = 3
"""Largest difference of an 8-bit value at which a profile is sRGB under another name (they differ in
rounding): such an image keeps its very pixels."""


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """An image of mode L, RGB or CMYK in sRGB, by the profile that its file brought: mode L or RGB.

    A profile that is damaged, or of another kind of color than the image has, is passed over, as browsers
    do. CMYK without a profile is taken as Pillow takes it, without one of a certain printer.
    """
    if profile and len(profile) <= _MOST_PROFILE:
        transform = _transform(bytes(profile), image.mode)
        if transform is not None:
            converted = transform.apply(image)
            return converted.getchannel("G") if image.mode == "L" else converted
    return image if image.mode in ("L", "RGB") else image.convert("RGB")


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """What brings colors of a profile to sRGB; None: nothing to do, or the profile cannot be used."""
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES.get(mode):
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")
        if mode != "CMYK" and _changes_nothing(transform, mode):
            return None
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None
    return transform


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    if mode == "L":
        probe = levels[None, :]
        seen = np.asarray(transform.apply(Image.fromarray(probe)))[:, :, 1]
    else:
        probe = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(len(levels), -1, 3)
        seen = np.asarray(transform.apply(Image.fromarray(probe)))
    return int(np.abs(seen.astype(int) - probe).max()) <= _ALIKE
