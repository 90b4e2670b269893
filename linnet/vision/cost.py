"""What decoding an image takes, told by its header: memory is bounded before anything is decoded."""

from __future__ import annotations

import struct

from PIL import ImageFile, TiffImagePlugin

from linnet.errors import ImageTooLarge
from linnet.vision.formats import ImageFormat

MOST_PIXELS = 1 << 27
"""Pixels that an image may have where nobody set another limit: 134 million, as cameras have up to 108."""
WHOLE_PIXELS = 1 << 24
"""Pixels up to which an image is decoded in its own size."""
BYTES_PER_PIXEL = 4
"""Of most formats, at the peak of decoding."""
_BUFFERED_JPEG = 10
"""Bytes a pixel where a JPEG comes in several scans: all coefficients are kept until the last is there."""
_ORIENTATION, _TILE_WIDTH, _TILE_HEIGHT = 274, 322, 323
"""Tags of TIFF."""


def reduction(width: int, height: int) -> int:
    """How many times smaller than it is each side of an image is decoded: 1, 2, 4 or 8.

    The smallest power of two that leaves at most `WHOLE_PIXELS`. It follows from the image alone, so that
    training and serving see the same pixels whatever size their model has.
    """
    factor = 1
    while width * height > WHOLE_PIXELS * factor * factor:
        factor *= 2
    return factor


def memory_of(
    image: ImageFile.ImageFile, known: ImageFormat, data: bytes, where: str, max_pixels: int
) -> int:
    """Bytes that decoding takes at its peak.

    Raises:
        ImageTooLarge: more pixels than `max_pixels`, or more memory than so many take in most formats.
    """
    width, height = image.size
    each, extra = known.bytes_per_pixel, 0
    if known.name == "JPEG 2000":  # its container may state another size than what is decoded
        width, height = _codestream_size(data, width, height)
    if known.name == "JPEG" and _comes_in_scans(data):
        each = _BUFFERED_JPEG
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        tags = image.tag_v2
        each *= 2 if tags.get(_ORIENTATION, 1) != 1 else 1  # Pillow turns it by a copy
        extra = BYTES_PER_PIXEL * tags.get(_TILE_WIDTH, 0) * tags.get(_TILE_HEIGHT, 0)
    taken = width * height * each + extra
    if known.name == "JPEG" and each == BYTES_PER_PIXEL:
        taken //= reduction(width, height) ** 2
    if width * height > max_pixels or taken > BYTES_PER_PIXEL * max_pixels:
        most = min(max_pixels, BYTES_PER_PIXEL * max_pixels // each)
        raise ImageTooLarge.pixels(where, width, height, most, known.name)
    return taken


def _codestream_size(data: bytes, width: int, height: int) -> tuple[int, int]:
    """The larger of the stated sizes of a JPEG 2000 image and of its codestream (ISO 15444-1, A.5.1)."""
    start = data.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(data) < start + 24:
        return width, height
    right, bottom, left, top = struct.unpack(">4I", data[start + 8 : start + 24])
    return max(width, right - left), max(height, bottom - top)


def _comes_in_scans(data: bytes) -> bool:
    """Whether a JPEG is progressive, or brings its components one after the other (ITU-T T.81, B.2)."""
    at, components = 2, 0
    while at + 4 <= len(data):
        if data[at] != 0xFF:
            at += 1
            continue
        marker = data[at + 1]
        if marker in (0xFF, 0x00, 0x01) or 0xD0 <= marker <= 0xD8:  # padding, or a marker without a length
            at += 1 if marker == 0xFF else 2
            continue
        if marker == 0xDA:
            return at + 4 < len(data) and data[at + 4] < components
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            if marker not in (0xC0, 0xC1, 0xC9):
                return True
            components = data[at + 9] if at + 9 < len(data) else 0
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return False
