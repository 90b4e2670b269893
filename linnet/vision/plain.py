"""What the numbers of an opened image mean, and its pixels as plain 8-bit gray or sRGB ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFile, TiffImagePlugin

from linnet.vision.color import to_srgb

_BITS = 258
"""Tag of TIFF: bits a channel."""


_STRIP = 1 << 20
"""Pixels of a large image that are reduced at once."""


def _is_gray(opened: Image.Image) -> bool:
    """Of an image that is not loaded yet: Pillow reads a gray PNG of 16 bits with alpha as RGBA."""
    if opened.mode in ("1", "L", "LA", "La") or opened.mode.startswith("I"):
        return True
    return any(tile.args == "LA;16B" for tile in getattr(opened, "tile", ()))


@dataclass(frozen=True, slots=True)
class _Meaning:
    """What the numbers of a file mean."""

    gray: bool
    white: int
    """The brightest value of a channel with more than 8 bits."""
    profile: bytes | None


def _meaning(opened: ImageFile.ImageFile) -> _Meaning:
    """Of an image that is not loaded yet."""
    if any(tile.args == "RGB;16B" for tile in opened.tile) and "transparency" in opened.info:
        # Pillow keeps the upper 8 bits of each color, but all 16 of the one that is transparent.
        opened.info["transparency"] = tuple(value >> 8 for value in opened.info["transparency"])
    bits = opened.tag_v2.get(_BITS, (16,))[0] if isinstance(opened, TiffImagePlugin.TiffImageFile) else 16
    return _Meaning(_is_gray(opened), (1 << bits) - 1, opened.info.get("icc_profile"))


def reduced(opened: ImageFile.ImageFile, factor: int) -> Image.Image:
    """The image in mode L or RGB with each side divided by `factor` (rounded up), as it lies in the file."""
    if factor > 1 and opened.format in ("JPEG", "MPO"):
        wanted = -(-opened.width // factor), -(-opened.height // factor)
        opened.draft(None, (opened.width // factor, opened.height // factor))
        factor = 1 if opened.size == wanted else factor
    meaning = _meaning(opened)
    opened.load()
    if factor == 1:
        return _plain(opened, meaning)
    width, height = opened.size
    small = Image.new("L" if meaning.gray else "RGB", (-(-width // factor), -(-height // factor)))
    rows = factor * max(1, _STRIP // (width * factor))
    for top in range(0, height, rows):  # in strips: no second image of this size is ever in memory
        strip = opened.crop((0, top, width, min(top + rows, height)))
        small.paste(_plain(strip, meaning).reduce(factor), (0, top // factor))
    return small


def _plain(image: Image.Image, meaning: _Meaning) -> Image.Image:
    """The image in mode L (where it is gray) or RGB, in sRGB, what is transparent laid on white."""
    if image.mode in ("I", "F"):
        raise ValueError("32 bits a channel, whose range it does not say: save it with 8 or 16")
    if image.mode.startswith("I"):
        return to_srgb(_eight_bits(image, meaning.white), meaning.profile)
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, rgba)
    wanted = "L" if meaning.gray else "RGB"
    if image.mode not in (wanted, "CMYK"):  # converting to the same mode would copy it
        image = image.convert(wanted)
    return to_srgb(image, meaning.profile)


def _eight_bits(image: Image.Image, white: int) -> Image.Image:
    """A gray image of up to 16 bits as one of 8; the value that its file calls transparent becomes white."""
    values = np.asarray(image, dtype=np.float64)
    pixels = np.clip(values / white * 255.0, 0, 255).round().astype(np.uint8)
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        pixels[values == clear] = 255
    return Image.fromarray(pixels)
