"""From image bytes to the array a model sees: one function, used by ingest, features and server.

Whatever happens to an image before the network happens here, so that training and serving cannot
differ. (What comes after, scaling and normalising, travels inside the exported model.)
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from linnet.errors import InvalidImage

Pixels = npt.NDArray[np.uint8]
Color = Literal["gray", "rgb"]
Fit = Literal["squash", "crop", "pad"]
"""How an image of another shape becomes a model's: stretched, its middle cut out, or bars added."""

FORMATS = ("PNG", "JPEG", "WEBP")
"""Formats that are accepted, told by content and not by file name."""

_WORTH_THREADS = 8192
"""Mean size in bytes from which threads pay: Pillow decodes without the GIL, but a small image costs
more Python than decoding (two threads slowed 28 x 28 images down by a third)."""

_PILLOW = r"PIL\."

MOST_PIXELS = 16_777_216
"""Pixels that an image may have where nobody set another limit."""

_ORIENTATION = 0x0112
"""EXIF tag; values from 5 turn the image by a quarter."""

BAR = 127
"""Brightness of the bars beside an image that is padded: the middle, which normalisation makes about 0."""
_MODES: dict[Color, str] = {"gray": "L", "rgb": "RGB"}


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image in its own size: `pixels` uint8 [H, W, C] with C = 1 (gray) or 3 (rgb)."""

    pixels: Pixels

    @property
    def sample_id(self) -> str:
        """32 hex digits: blake2b digest of shape and pixels, independent of the encoding."""
        return sample_id(self.pixels)


def sample_id(pixels: Pixels) -> str:
    """The identity of an image: 32 hex digits of blake2b over its shape and decoded pixels."""
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()


def decode(data: bytes, where: str = "image", max_pixels: int = MOST_PIXELS) -> Decoded:
    """Decodes a PNG, JPEG or WebP in its own size; EXIF orientation is applied.

    Grey images (1, 8 or 16 bit, with or without alpha) give one channel, all others three;
    transparency is laid on white.

    Raises:
        InvalidImage: unknown format, truncated, damaged, or more than `max_pixels` pixels.
    """
    assert not ImageFile.LOAD_TRUNCATED_IMAGES, "a truncated image must be an error"
    try:
        _silence_pillow()
        with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
            _check_size(opened, where, max_pixels)
            gray = _is_gray(opened)
            opened.load()
            pixels = np.asarray(_plain(ImageOps.exif_transpose(opened), gray))
    except InvalidImage:
        raise
    except UnidentifiedImageError as error:  # its own text shows a Python object
        raise InvalidImage(where, "is not a readable PNG, JPEG or WebP image") from error
    except Exception as error:  # Pillow's decoders raise many kinds on hostile bytes
        raise InvalidImage(where, f"is not a readable PNG, JPEG or WebP image ({error})") from error
    return Decoded(pixels if pixels.ndim == 3 else pixels[:, :, None])


def shape_of(file: Path, where: str = "image", max_pixels: int = MOST_PIXELS) -> tuple[int, int, int]:
    """Height, width and channels that `decode` would give, from the header alone.

    Raises:
        InvalidImage: not an accepted format, unreadable, or too large; damage further on is not seen.
    """
    try:
        _silence_pillow()
        with Image.open(file, formats=FORMATS) as opened:
            _check_size(opened, where, max_pixels)
            channels = 1 if _is_gray(opened) else 3
            # Without an exif chunk before the pixels, `getexif` of a PNG would decode all of them.
            exif = opened.getexif() if opened.format != "PNG" or "exif" in opened.info else {}
            turned = exif.get(_ORIENTATION, 1) >= 5
            height, width = (opened.width, opened.height) if turned else (opened.height, opened.width)
            return height, width, channels
    except InvalidImage:
        raise
    except UnidentifiedImageError as error:
        raise InvalidImage(where, "is not a readable PNG, JPEG or WebP image") from error
    except Exception as error:  # Pillow's readers raise many kinds on hostile bytes
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InvalidImage(where, f"is not a readable PNG, JPEG or WebP image ({reason})") from error


def threads_pay(sizes: Sequence[int]) -> bool:
    """Whether decoding encoded images of these sizes in bytes gains by threads."""
    return bool(sizes) and sum(sizes) / len(sizes) >= _WORTH_THREADS


def color_of(channels: int) -> Color:
    """The mode of an image or a model with 1 or 3 channels."""
    return "gray" if channels == 1 else "rgb"


def channels_of(color: Color) -> int:
    """1 or 3."""
    return 1 if color == "gray" else 3


def resize(pixels: Pixels, height: int, width: int, color: Color, fit: Fit = "squash") -> Pixels:
    """Brings decoded pixels [h, w, c] to uint8 [height, width, 1 or 3], what a model is fed.

    `fit`: "squash" scales both sides by themselves; "crop" fills the size and cuts off what hangs over,
    equally on both sides; "pad" shows all of the image, in the middle, with mid-grey bars.
    An image that already has the size and the mode comes back unchanged. Resizing is bilinear with
    support that grows when shrinking (Pillow's `BILINEAR`, which filters and does not alias).
    """
    channels = channels_of(color)
    if pixels.shape == (height, width, channels):
        return pixels
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image = image.convert(_MODES[color])
    size, method = (width, height), Image.Resampling.BILINEAR
    if image.size != size:
        if fit == "crop":
            image = ImageOps.fit(image, size, method)
        elif fit == "pad":
            image = ImageOps.pad(image, size, method, color=BAR if color == "gray" else (BAR,) * 3)
        else:
            image = image.resize(size, method)
    return np.asarray(image).reshape(height, width, channels)


def encode_png(pixels: Pixels) -> bytes:
    """PNG bytes of uint8 [H, W, 1 or 3]; decoding them gives the same pixels."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _silence_pillow() -> None:
    """Ignores Pillow's warnings (its own bomb limit, odd EXIF) in this process from now on.

    Not `warnings.catch_warnings`: it swaps a list that all threads share, so that two threads which
    decode at once could leave every warning of the process ignored.
    """
    first = warnings.filters[0] if warnings.filters else None
    if first is None or getattr(first[3], "pattern", "") != _PILLOW:
        warnings.filterwarnings("ignore", module=_PILLOW)


def _check_size(image: Image.Image, where: str, max_pixels: int) -> None:
    if image.width * image.height > max_pixels:
        size = f"{image.width} x {image.height}"
        raise InvalidImage(where, f"is {size} pixels; at most {max_pixels} are accepted")


def _is_gray(opened: Image.Image) -> bool:
    """Of an image that is not loaded yet: Pillow reads a gray PNG of 16 bits with alpha as RGBA."""
    if opened.mode in ("1", "L", "LA", "La") or opened.mode.startswith("I"):
        return True
    return any(tile.args == "LA;16B" for tile in getattr(opened, "tile", ()))


def _plain(image: Image.Image, gray: bool) -> Image.Image:
    """The image in mode L (where it is gray) or RGB, what is transparent laid on white."""
    if image.mode.startswith("I"):  # gray PNG of 16 bits, whatever its brightness
        return _eight_bits(image)
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", rgba.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, rgba)
    return image.convert("L" if gray else "RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """A gray image of 16 bits as one of 8; the value that its file calls transparent becomes white."""
    values = np.asarray(image, dtype=np.float64)
    pixels = np.clip(values / 65535.0 * 255.0, 0, 255).round().astype(np.uint8)
    clear = image.info.get("transparency")
    if isinstance(clear, int):
        pixels[values == clear] = 255
    return Image.fromarray(pixels)
