"""Images as any browser shows them, for people who label: not every format that is read is shown there."""

from __future__ import annotations

import io

from PIL import Image

from linnet.vision.decode import decode, encode_png
from linnet.vision.formats import format_of

_SHOWN = ("PNG", "JPEG", "WebP", "GIF")
_MOST_BYTES = 4_000_000
"""Of an image that is handed on as it is; a photo of a camera travels in a smaller copy."""
_SIDE = 2048
"""Longer side in pixels of a copy: more than a person sees at once."""


def for_browser(data: bytes) -> bytes:
    """The image itself where browsers show it and it is small, or else a copy: JPEG, or PNG where it is tiny.

    Raises:
        InvalidImage: it does not decode.
    """
    known = format_of(data)
    if known is not None and known.name in _SHOWN and len(data) <= _MOST_BYTES:
        return data
    pixels = decode(data).pixels
    if max(pixels.shape[:2]) <= 256:
        return encode_png(pixels)
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    image.thumbnail((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()
