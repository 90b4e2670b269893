"""From bytes to pixels: every mode and format that is accepted, and all that is refused."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from linnet.errors import ImageTooLarge, InvalidImage
from linnet.vision.decode import decode, encode_png, resize, sample_id
from linnet.vision.formats import FORMATS

RAMP = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def header_only(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds no pixels."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)),
        (b"IDAT", b""),
        (b"IEND", b""),
    ]
    parts = [
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def gray_with_alpha() -> Image.Image:
    return Image.merge("LA", [Image.fromarray(RAMP), Image.fromarray(np.full((6, 8), 255, np.uint8))])


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3])).flatmap(
        lambda shape: hnp.arrays(np.uint8, shape)
    )
)
def test_png_that_was_encoded_decodes_to_the_same_pixels(pixels: np.ndarray) -> None:
    decoded = decode(encode_png(pixels))
    assert np.array_equal(decoded.pixels, pixels)
    assert decoded.sample_id == sample_id(pixels)


def test_bilevel_png_gives_black_and_white() -> None:
    pixels = decode(encoded(Image.fromarray(RAMP > 100))).pixels
    assert np.array_equal(pixels[:, :, 0], np.where(RAMP > 100, 255, 0))


def test_gray_png_gives_its_values() -> None:
    assert np.array_equal(decode(encoded(Image.fromarray(RAMP))).pixels[:, :, 0], RAMP)


def test_opaque_gray_with_alpha_stays_gray() -> None:
    assert np.array_equal(decode(encoded(gray_with_alpha())).pixels[:, :, 0], RAMP)


def test_transparent_pixels_become_white() -> None:
    clear = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    clear.putpixel((1, 2), (10, 20, 30, 255))
    pixels = decode(encoded(clear)).pixels
    assert pixels[2, 1].tolist() == [10, 20, 30]
    assert pixels[0, 0].tolist() == [255, 255, 255]
    half = decode(encoded(Image.new("LA", (2, 2), (0, 128)))).pixels
    assert half.shape == (2, 2, 1)
    assert half[0, 0, 0] == 127


def test_palette_with_transparency_is_laid_on_white() -> None:
    image = Image.new("P", (3, 2), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((0, 0), 1)
    pixels = decode(encoded(image, transparency=0)).pixels
    assert pixels[0, 0].tolist() == [0, 0, 255]
    assert pixels[1, 1].tolist() == [255, 255, 255]
    assert decode(encoded(image)).pixels[1, 1].tolist() == [255, 0, 0]


def test_palette_with_a_transparency_an_entry_is_laid_on_white() -> None:
    image = Image.new("P", (2, 2), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    pixels = decode(encoded(image, transparency=bytes([0, 255]))).pixels
    assert pixels[1, 1].tolist() == [255, 255, 255]


def test_rgb_png_gives_three_channels() -> None:
    rgb = np.dstack([RAMP, RAMP[::-1], RAMP[:, ::-1]])
    assert np.array_equal(decode(encoded(Image.fromarray(rgb))).pixels, rgb)


def test_sixteen_bit_gray_is_scaled_to_eight() -> None:
    deep = Image.fromarray(RAMP.astype(np.uint16) * 257)
    assert deep.mode == "I;16"
    assert np.array_equal(decode(encoded(deep)).pixels[:, :, 0], RAMP)


def test_dark_sixteen_bit_gray_stays_dark() -> None:
    deep = Image.fromarray(np.full((4, 4), 200, np.uint16))  # 0.3 % of full scale
    assert decode(encoded(deep)).pixels.max() <= 1


def test_cmyk_jpeg_gives_rgb() -> None:
    red = Image.new("RGB", (16, 16), (200, 30, 30)).convert("CMYK")
    pixels = decode(encoded(red, "JPEG", quality=95)).pixels
    assert pixels.shape == (16, 16, 3)
    assert np.abs(pixels.astype(int) - [200, 30, 30]).max() <= 6


def test_gray_jpeg_gives_one_channel() -> None:
    assert decode(encoded(Image.new("L", (16, 16), 90), "JPEG")).pixels.shape == (16, 16, 1)


@pytest.mark.parametrize("lossless", [True, False])
def test_webp_is_read(lossless: bool) -> None:
    rgb = np.dstack([RAMP, RAMP, RAMP[::-1]])
    pixels = decode(encoded(Image.fromarray(rgb), "WEBP", lossless=lossless)).pixels
    assert pixels.shape == rgb.shape
    assert not lossless or np.array_equal(pixels, rgb)


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [(1, lambda a: a), (3, lambda a: a[::-1, ::-1]), (6, lambda a: np.rot90(a, -1)), (8, np.rot90)],
)
def test_exif_orientation_is_applied(orientation: int, upright: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decode(encoded(Image.fromarray(RAMP), "PNG", exif=exif)).pixels
    assert np.array_equal(pixels[:, :, 0], upright(RAMP))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_truncated_image_is_refused_at_any_length(kind: str) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    whole = encoded(noise, kind)
    for length in (10, len(whole) // 4, len(whole) // 2, len(whole) * 9 // 10):
        with pytest.raises(InvalidImage, match="sample 7: is not a readable"):
            decode(whole[:length], "sample 7")


def test_image_with_too_many_pixels_is_refused_before_it_is_decoded() -> None:
    bomb = header_only(12_000, 12_000)
    with pytest.raises(
        ImageTooLarge, match=r"is 12000 x 12000 pixels \(144.0 megapixels\); .*data.max_pixels"
    ):
        decode(bomb)
    with pytest.raises(InvalidImage):
        decode(header_only(20_000, 20_000))  # beyond Pillow's own hard limit
    assert decode(encoded(Image.new("L", (8, 8))), max_pixels=64).pixels.shape == (8, 8, 1)
    with pytest.raises(ImageTooLarge):
        decode(encoded(Image.new("L", (8, 8))), max_pixels=63)


@pytest.mark.parametrize(
    "data",
    [
        encoded(Image.new("L", (8, 8)), "ICO"),
        encoded(Image.new("RGB", (8, 8)), "PPM"),
        encoded(Image.new("RGB", (8, 8)), "TGA"),
        b'<svg xmlns="http://www.w3.org/2000/svg" width="8" height="8"/>',
        b"no image at all",
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\x00" * 5000,
    ],
    ids=["ico", "ppm", "tga", "svg", "text", "empty", "png-header-only", "zeros"],
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidImage) as caught:
        decode(data, "photo.png")
    assert caught.value.where == "photo.png"


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_damaged_bytes_give_pixels_or_invalid_image_and_nothing_else(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([known.plugin for known in FORMATS]))
    content = bytearray(encoded(Image.fromarray(np.dstack([RAMP] * 3)), kind))
    for _ in range(data.draw(st.integers(1, 5))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        pixels = decode(bytes(content)).pixels
    except InvalidImage:
        return
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] in (1, 3)


def test_decoding_in_threads_leaves_other_warnings_alone() -> None:
    image = encode_png(RAMP[:, :, None])
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: decode(image), range(400)))
    with pytest.warns(UserWarning, match="still heard"):
        warnings.warn("still heard", stacklevel=1)


def test_identity_depends_on_pixels_and_shape_only() -> None:
    image = Image.fromarray(RAMP)
    ids = {
        decode(encoded(image, "PNG", compress_level=level, optimize=False)).sample_id for level in (0, 1, 9)
    }
    assert ids == {sample_id(RAMP[:, :, None])}
    assert len(ids.pop()) == 32
    assert sample_id(RAMP.reshape(8, 6, 1)) != sample_id(RAMP[:, :, None])
    changed = RAMP.copy()
    changed[0, 0] ^= 1
    assert sample_id(changed[:, :, None]) != sample_id(RAMP[:, :, None])
    assert sample_id(RAMP[:, ::-1, None]) == sample_id(RAMP[:, ::-1, None].copy())


def test_resize_leaves_what_fits_unchanged() -> None:
    pixels = RAMP[:, :, None]
    assert resize(pixels, 6, 8, "gray") is pixels


@pytest.mark.parametrize(("color", "channels"), [("gray", 1), ("rgb", 3)])
@pytest.mark.parametrize("source", [1, 3])
def test_resize_gives_the_configured_shape(color: Any, channels: int, source: int) -> None:
    pixels = np.repeat(RAMP[:, :, None], source, axis=2)
    assert resize(pixels, 5, 11, color).shape == (5, 11, channels)
    same_size = resize(pixels, 6, 8, color)
    assert same_size.shape == (6, 8, channels)
    assert np.array_equal(same_size[:, :, 0], RAMP)


@pytest.mark.parametrize(("height", "width"), [(30, 90), (90, 30), (31, 7), (200, 500)])
def test_crop_keeps_the_middle_and_pad_keeps_all_without_stretching(height: int, width: int) -> None:
    y, x = np.mgrid[:height, :width]
    middle = np.hypot(y - (height - 1) / 2, x - (width - 1) / 2)
    disc = np.where(middle < min(height, width) / 2, 255, 0).astype(np.uint8)[:, :, None]
    side = 32
    cropped, padded, squashed = (
        resize(disc, side, side, "rgb", fit)[:, :, 0].astype(int) for fit in ("crop", "pad", "squash")
    )
    # A disc as wide as the image's shorter side fills the square, by area.
    assert cropped.mean() == pytest.approx(255 * np.pi / 4, rel=0.06)
    scale = side / max(height, width)
    inside = np.pi / 4 * (min(height, width) * scale) ** 2
    bars = side * side - height * scale * width * scale
    assert padded.sum() == pytest.approx(255 * inside + 127 * bars, rel=0.06)
    assert squashed.mean() == pytest.approx(
        255 * np.pi / 4 * min(height, width) / max(height, width), rel=0.06
    )


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
def test_image_of_the_right_size_is_the_same_however_it_is_fitted(fit: Any) -> None:
    assert np.array_equal(resize(RAMP[:, :, None], 6, 8, "gray", fit)[:, :, 0], RAMP)


def test_shrinking_averages_instead_of_skipping() -> None:
    board = np.indices((64, 64)).sum(axis=0).astype(np.uint8) % 2 * 255
    small = resize(board[:, :, None], 8, 8, "gray")
    assert np.abs(small.astype(int) - 127).max() <= 2


def _png(bits: int, color_type: int, row: bytes, transparent: bytes = b"") -> bytes:
    """A PNG of one row, as Pillow does not write it: 16 bits with alpha, or with a transparent value."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    width = len(row) // (bits // 8 * {0: 1, 4: 2}[color_type])
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, bits, color_type, 0, 0, 0))]
    parts += [chunk(b"tRNS", transparent)] if transparent else []
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [*parts, chunk(b"IDAT", zlib.compress(b"\0" + row)), chunk(b"IEND", b"")]
    )


def test_decode_transparency_of_16_bit_gray_is_laid_on_white_as_of_8_bit() -> None:
    values = (0, 20_000, 40_000, 65_535)
    row = struct.pack(">4H", *values)
    pixels = decode(_png(16, 0, row, struct.pack(">H", 20_000))).pixels
    assert pixels[0, :, 0].tolist() == [0, 255, 156, 255]
    eight = decode(_png(8, 0, bytes(value >> 8 for value in values), struct.pack(">H", 20_000 >> 8))).pixels
    assert eight[0, :, 0].tolist() == [0, 255, 156, 255]


def test_decode_alpha_of_16_bit_gray_is_laid_on_white_and_stays_gray() -> None:
    row = struct.pack(">6H", 0, 0, 20_000, 65_535, 0, 65_535)
    assert decode(_png(16, 4, row)).pixels.tolist() == [[[255], [78], [0]]]
