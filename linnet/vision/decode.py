"""From image bytes to the array a model sees: one function, used by ingest, features and server.

Whatever happens to an image before the network happens here, so that training and serving cannot
differ. (What comes after, scaling and normalizing, travels inside the exported model.)
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import io
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    ImageOps,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
)

from linnet.errors import ImageTooLarge, InvalidImage
from linnet.vision.cost import BYTES_PER_PIXEL, MOST_PIXELS, WHOLE_PIXELS, memory_of, reduction
from linnet.vision.formats import ImageFormat, format_of, why_not_read
from linnet.vision.plain import reduced

Pixels = npt.NDArray[np.uint8]
Color = Literal["gray", "rgb"]
Fit = Literal["squash", "crop", "pad"]
"""How an image of another shape becomes a model's: stretched, its middle cut out, or bars added."""

PLUGINS = (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
"""Imported here, each registers its format; `Image.open` would import some forty when it misses one."""

_WORTH_THREADS = 8192
"""Mean size in bytes from which threads pay: Pillow decodes without the GIL, but a small image costs
more Python than decoding (two threads slowed 28 x 28 images down by a third)."""

_PILLOW = r"PIL\."

_LARGE = BYTES_PER_PIXEL * WHOLE_PIXELS
_ONE_AT_A_TIME = threading.Lock()
"""Held while an image is decoded that takes more than `_LARGE` bytes: a process holds one of these."""
_TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)
"""Of glibc; other C libraries have none."""

_ORIENTATION = 0x0112
"""EXIF tag; values from 5 turn the image by a quarter."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SUBFILE, _DNG = 254, 50706
"""Tags of TIFF."""

BAR = 127
"""Brightness of the bars beside an image that is padded: the middle, which normalization makes about 0."""
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
    """Decodes an image of one of `formats.FORMATS`: upright (EXIF), in sRGB, 8 bits a channel.

    Gray images (1, 8 or 16 bit, with or without alpha) give one channel, all others three; transparency is
    laid on white; of an animation or of several pages the first is read. An image of more than
    `WHOLE_PIXELS` is decoded at a half, a quarter or an eighth of its sides: see `reduction`.

    Raises:
        ImageTooLarge: decoding would take more memory than `max_pixels` ordinary pixels.
        InvalidImage: no format that is read, truncated or damaged.
    """
    assert not ImageFile.LOAD_TRUNCATED_IMAGES, "a truncated image must be an error"
    with _opened(data, where, max_pixels) as (opened, known):
        memory, factor = memory_of(opened, known, data, where, max_pixels), reduction(*opened.size)
        with _large_alone(memory):
            pixels = np.asarray(_upright(opened, reduced(opened, factor)))
            opened.close()  # gives its memory back before the next one begins
    return Decoded(pixels if pixels.ndim == 3 else pixels[:, :, None])


def read_image(data: bytes, where: str, max_pixels: int, max_mb: float) -> Decoded:
    """`decode` under both limits of what an image may be: those of training and of serving.

    Raises:
        ImageTooLarge: more than `max_pixels` pixels (as `decode`) or `max_mb` megabytes.
        InvalidImage: as `decode`.
    """
    if len(data) > max_mb * 1_000_000:
        raise ImageTooLarge.bytes(where, len(data), max_mb)
    return decode(data, where, max_pixels)


@contextlib.contextmanager
def _large_alone(memory: int) -> Iterator[None]:
    """Lets one thread at a time decode what takes much memory, and gives all of it back to the system.

    Without that glibc keeps it for the thread: eight threads that decoded one after the other held eight
    images (673 MB of 48 million gray pixels; 168 MB with it).
    """
    if memory <= _LARGE:
        yield
        return
    with _ONE_AT_A_TIME:
        try:
            yield
        finally:
            if _TRIM is not None:
                _TRIM(0)


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
    equally on both sides; "pad" shows all of the image, in the middle, with mid-gray bars.
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


@contextlib.contextmanager
def _opened(data: bytes, where: str, max_pixels: int) -> Iterator[tuple[ImageFile.ImageFile, ImageFormat]]:
    """An image whose header was read, and its format; what goes wrong with it is an `InvalidImage`."""
    known = format_of(data)
    if known is None:
        raise InvalidImage(where, why_not_read(data))
    try:
        _silence_pillow()
        with Image.open(io.BytesIO(data), formats=(known.plugin,)) as opened:
            _refuse_raw(opened, where)
            yield opened, known
    except InvalidImage:
        raise
    except Image.DecompressionBombError as error:
        most = max_pixels / 1e6
        problem = f"has more pixels than any limit allows; at most {most:.1f} megapixels are read"
        raise ImageTooLarge(where, f"{problem} (data.max_pixels)") from error
    except UnidentifiedImageError as error:  # its own text shows a Python object
        raise InvalidImage(where, f"is not a readable {known.name} image") from error
    except Exception as error:  # Pillow's decoders raise many kinds on hostile bytes
        raise InvalidImage(where, f"is not a readable {known.name} image ({error})") from error


def _refuse_raw(opened: Image.Image, where: str) -> None:
    """Camera raw files are TIFFs, too, whose first page is a thumbnail that nobody means."""
    if isinstance(opened, TiffImagePlugin.TiffImageFile):
        small = opened.tag_v2.get(_SUBFILE, 0)
        if _DNG in opened.tag_v2 or (isinstance(small, int) and small & 1):
            raise InvalidImage(where, "is camera raw data, not a finished image: export it as JPEG or TIFF")


def _silence_pillow() -> None:
    """Ignores Pillow's warnings (its own bomb limit, odd EXIF) in this process from now on.

    Not `warnings.catch_warnings`: it swaps a list that all threads share, so that two threads which
    decode at once could leave every warning of the process ignored.
    """
    first = warnings.filters[0] if warnings.filters else None
    if first is None or getattr(first[3], "pattern", "") != _PILLOW:
        warnings.filterwarnings("ignore", module=_PILLOW)


def _upright(opened: ImageFile.ImageFile, image: Image.Image) -> Image.Image:
    """The image turned as the EXIF of its file says; Pillow has turned a TIFF already."""
    turn = None if opened.format == "TIFF" else _TURNS.get(opened.getexif().get(_ORIENTATION, 1))
    return image if turn is None else image.transpose(turn)
