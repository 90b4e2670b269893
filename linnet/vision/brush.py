"""Label Studio's own runs of a brush: the bits of rle-pack over the four channels of each pixel.

https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack: 32 bits of the number of values, 5 of
their size less 1, four times 4 of the sizes of lengths less 1; then by turns a bit (whether a value is
repeated), 2 bits (the size of the length), the length less 1, and the value or as many values. A pixel is
four values, red to alpha; the brush is where alpha is not 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from linnet.vision.rle import Mask

_SIZES = 3, 4, 8, 16
_CHANNELS = 4
_HEAD = 32 + 5 + 4 * 4


def encode(mask: Mask) -> list[int]:
    """The bytes of a mask [H, W], as Label Studio takes them."""
    flat = np.asarray(mask, np.bool_).ravel()
    bounds = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1, [len(flat)]])
    bits = [f"{flat.size * _CHANNELS:032b}", f"{8 - 1:05b}", *(f"{size - 1:04b}" for size in _SIZES)]
    largest = 1 << _SIZES[-1]
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        left, value = (end - start) * _CHANNELS, "1" * 8 if flat[start] else "0" * 8
        while left:
            length = min(left, largest)
            kind = next(i for i, size in enumerate(_SIZES) if length <= 1 << size)
            bits.append(f"1{kind:02b}{length - 1:0{_SIZES[kind]}b}{value}")
            left -= length
    text = "".join(bits)
    text += "0" * (-len(text) % 8)
    return [int(text[i : i + 8], 2) for i in range(0, len(text), 8)]


def decode(data: Sequence[int], height: int, width: int) -> Mask:
    """The mask [height, width] in such bytes.

    Raises:
        ValueError: they are none of a mask of this size.
    """
    try:
        text = "".join(f"{byte:08b}" for byte in bytes(data))
        count, size = int(text[:32], 2), int(text[32:37], 2) + 1
        sizes = [int(text[place : place + 4], 2) + 1 for place in range(37, _HEAD, 4)]
    except (ValueError, TypeError) as error:
        raise ValueError(f"damaged runs of a brush ({error!s:.60})") from error
    if count != height * width * _CHANNELS or size != 8:
        raise ValueError(f"a brush of {count} values for an image of {height} x {width}")
    values, done, at = np.zeros(count, np.uint8), 0, _HEAD
    while done < count:
        kind = text[at : at + 3]
        length = sizes[int(kind[1:], 2)] if len(kind) == 3 else 0
        digits = text[at + 3 : at + 3 + length]
        if not length or len(digits) < length:
            raise ValueError("damaged runs of a brush: they end too soon")
        end, at = done + 1 + int(digits, 2), at + 3 + length
        wanted = 1 if kind[0] == "1" else end - done
        body = text[at : at + 8 * wanted]
        if end > count or len(body) < 8 * wanted:
            raise ValueError("damaged runs of a brush: they end too soon")
        values[done:end] = [int(body[i : i + 8], 2) for i in range(0, len(body), 8)]
        done, at = end, at + 8 * wanted
    found: Mask = values.reshape(height, width, _CHANNELS)[:, :, 3] > 0
    return found
