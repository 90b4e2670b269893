"""Cameras: photos of 24, 48 and 108 megapixels are read, and no file makes a process grow beyond its bound.

Memory is the peak of a process of its own, above what it had before it decoded.
"""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from linnet.errors import ImageTooLarge, InvalidImage
from linnet.vision.cost import BYTES_PER_PIXEL, MOST_PIXELS, WHOLE_PIXELS, reduction
from linnet.vision.decode import decode, resize

_PROGRAM = """
import sys
from linnet.vision.decode import decode
def peak():
    return next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
small = open(sys.argv[1], "rb").read()
decode(small)  # everything is imported
data = open(sys.argv[2], "rb").read()
before = peak()
try:
    shape = decode(data, "photo").pixels.shape
except Exception as error:
    shape = str(error)
print(peak() - before, shape)
"""
LARGE = BYTES_PER_PIXEL * WHOLE_PIXELS
OVERHEAD = 24 << 20
"""Of strips, and of what Python and Pillow allocate in blocks."""


def _picture(width: int, height: int, mode: str = "RGB") -> Image.Image:
    """Blocks of colors: cheap to make and to encode, and not of one color."""
    blocks = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    return Image.fromarray(blocks).convert(mode).resize((width, height), Image.Resampling.NEAREST)


def _measure(folder: Path, data: bytes) -> tuple[int, str]:
    """Bytes at the peak of decoding, and the shape or what was wrong."""
    small, file = folder / "small", folder / "file"
    buffer = io.BytesIO()
    _picture(60, 40).save(buffer, "JPEG")
    small.write_bytes(buffer.getvalue())
    file.write_bytes(data)
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(small), str(file)], capture_output=True, text=True, check=True
    )
    peak, _, told = done.stdout.strip().partition(" ")
    return int(peak), told


def _encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("width", "height", "mode", "shape"),
    [
        (6000, 4000, "RGB", "(2000, 3000, 3)"),
        (8000, 6000, "L", "(3000, 4000, 1)"),
        (12_000, 9_000, "L", "(2250, 3000, 1)"),
        pytest.param(8000, 6000, "RGB", "(3000, 4000, 3)", marks=pytest.mark.proof),
        pytest.param(12_000, 9_000, "RGB", "(2250, 3000, 3)", marks=pytest.mark.proof),
    ],
)
def test_photo_of_a_camera_is_decoded_at_reduced_scale_in_little_memory(
    tmp_path: Path, width: int, height: int, mode: str, shape: str
) -> None:
    peak, told = _measure(tmp_path, _encoded(_picture(width, height, mode), "JPEG", quality=80))
    assert told == shape
    assert peak < LARGE + OVERHEAD, f"{peak / 1e6:.0f} MB"  # whole, 108 megapixels are 432 MB


@pytest.mark.parametrize(
    ("kind", "options", "side"),
    [
        ("PNG", {"compress_level": 1}, (6000, 4000)),
        ("TIFF", {"compression": "tiff_deflate"}, (6000, 4000)),
        ("WEBP", {"quality": 40, "method": 0}, (5000, 4000)),
        ("AVIF", {"speed": 10}, (5000, 4000)),
        ("JPEG", {"progressive": True, "subsampling": 0}, (6000, 4000)),
        pytest.param("JPEG2000", {}, (5000, 3600), marks=pytest.mark.proof),
    ],
)
def test_other_formats_take_no_more_memory_than_is_counted(
    tmp_path: Path, kind: str, options: dict[str, Any], side: tuple[int, int]
) -> None:
    from linnet.vision.formats import FORMATS

    each = 10 if kind == "JPEG" else next(known.bytes_per_pixel for known in FORMATS if known.plugin == kind)
    peak, told = _measure(tmp_path, _encoded(_picture(*side), kind, **options))
    assert told == str((side[1] // 2, side[0] // 2, 3))
    outcome = 10 * side[0] * side[1] // 4  # the reduced image, and its bytes twice for a moment
    assert peak < each * side[0] * side[1] + outcome + OVERHEAD, (
        f"{peak / side[0] / side[1]:.1f} bytes a pixel"
    )


def test_alpha_of_a_large_image_is_composed_in_strips(tmp_path: Path) -> None:
    width, height = 6000, 4000
    image = _picture(width, height, "RGBA")
    image.putalpha(Image.linear_gradient("L").resize((width, height)))
    data = _encoded(image, "PNG", compress_level=1)
    peak, told = _measure(tmp_path, data)
    assert told == "(2000, 3000, 3)"
    assert peak < 4 * width * height + (60 << 20)  # whole, the composed image would be a second and a third
    # In strips or at once: the same pixels.
    rgba = image.convert("RGBA")
    whole = Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB").reduce(2)
    assert np.array_equal(decode(data).pixels, np.asarray(whole))


def test_reduced_photo_shows_the_model_what_the_whole_one_does() -> None:
    """Reduction is no other picture: a model of 224 pixels sees the same within a few gray levels."""
    rng = np.random.default_rng(1)
    smooth = Image.fromarray(rng.integers(0, 256, (60, 90, 3), np.uint8)).resize(
        (6000, 4000), Image.Resampling.BICUBIC
    )
    whole = resize(np.asarray(smooth), 224, 224, "rgb", "crop").astype(int)
    seen = resize(decode(_encoded(smooth, "JPEG", quality=95)).pixels, 224, 224, "rgb", "crop").astype(int)
    assert np.abs(seen - whole).mean() < 1.5
    assert np.abs(seen - whole).max() < 16


@pytest.mark.parametrize(
    ("width", "height", "factor"),
    [
        (4096, 4096, 1),
        (4097, 4096, 2),
        (6000, 4000, 2),
        (8000, 6000, 2),
        (12_000, 9_000, 4),
        (65_535, 256, 1),
    ],
)
def test_reduction_is_the_smallest_power_of_two_that_leaves_a_whole_image(
    width: int, height: int, factor: int
) -> None:
    assert reduction(width, height) == factor


@pytest.mark.parametrize("turn", [1, 6])
def test_odd_sides_of_a_reduced_photo_are_rounded_up(turn: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turn
    for kind, options in (("JPEG", {"quality": 60}), ("PNG", {"compress_level": 0})):
        data = _encoded(_picture(4101, 4201, "L"), kind, exif=exif, **options)
        assert decode(data).pixels.shape[:2] == ((2101, 2051) if turn == 1 else (2051, 2101))


def _jp2_that_lies() -> bytes:
    """A JPEG 2000 file whose container states 8 x 8, and its codestream 16,000 x 16,000."""
    data = bytearray(_encoded(Image.new("RGB", (8, 8)), "JPEG2000"))
    start = data.index(b"\xff\x4f\xff\x51")
    for offset in (8, 12, 24, 28):  # Xsiz, Ysiz, and the tile's
        data[start + offset : start + offset + 4] = struct.pack(">I", 16_000)
    return bytes(data)


def _tiff_with_a_huge_tile() -> bytes:
    """A TIFF of 64 x 64 pixels in one tile of 40,000 x 40,000, of which a few bytes are there."""
    entries = [
        (256, 3, 64), (257, 3, 64), (258, 3, 8), (259, 3, 8), (262, 3, 1), (277, 3, 1),
        (322, 4, 40_000), (323, 4, 40_000), (324, 4, 8), (325, 4, 16),
    ]  # fmt: skip
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    packed = zlib.compress(bytes(4096))[:16]
    return b"II*\0" + struct.pack("<I", 24) + packed + struct.pack("<H", len(entries)) + body + bytes(4)


@pytest.mark.parametrize(
    "data",
    [_jp2_that_lies(), _tiff_with_a_huge_tile()],
    ids=["jpeg 2000", "tiff"],
)
def test_file_that_lies_of_its_size_takes_no_memory(tmp_path: Path, data: bytes) -> None:
    peak, told = _measure(tmp_path, data)
    assert "photo: is" in told
    assert peak < (16 << 20), told


@pytest.mark.parametrize(
    ("kind", "most"),
    [("PNG", 1.0), ("WEBP", 4 / 17), ("AVIF", 0.4), ("JPEG2000", 4 / 21), ("TIFF", 1.0), ("GIF", 1.0)],
)
def test_costly_formats_have_a_smaller_limit_that_the_message_names(kind: str, most: float) -> None:
    side = 80
    data = _encoded(Image.new("RGB", (side, side)), kind)
    fits = int(side * side / most) + 2
    assert decode(data, max_pixels=fits).pixels.shape[:2] == (side, side)
    with pytest.raises(ImageTooLarge, match=r"is 80 x 80 pixels .* megapixels are read \(data.max_pixels\)"):
        decode(data, max_pixels=fits - 10)


def test_progressive_photo_is_counted_by_its_coefficients() -> None:
    image = _picture(80, 80)
    assert decode(_encoded(image, "JPEG"), max_pixels=6400).pixels.shape == (80, 80, 3)
    with pytest.raises(ImageTooLarge):
        decode(_encoded(image, "JPEG", progressive=True), max_pixels=6400)


def test_large_images_are_decoded_one_at_a_time(tmp_path: Path) -> None:
    """Four threads with a bomb each: the process holds one of them."""
    data = _encoded(Image.new("L", (8000, 6000)), "PNG", compress_level=1)
    assert len(data) < 1 << 20
    file = tmp_path / "file"
    file.write_bytes(data)
    program = _PROGRAM.replace(
        'shape = decode(data, "photo").pixels.shape',
        "from concurrent.futures import ThreadPoolExecutor\n"
        "    with ThreadPoolExecutor(4) as pool: shape = list(pool.map(decode, [data] * 4))[0].pixels.shape",
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(file), str(file)], capture_output=True, text=True, check=True
    )
    peak, _, told = done.stdout.strip().partition(" ")
    assert told == "(3000, 4000, 1)"
    assert int(peak) < 2 * 48e6 + 4 * 12e6 + OVERHEAD, f"{int(peak) / 1e6:.0f} MB; four that are kept are 337"


def test_default_limit_takes_the_largest_camera() -> None:
    assert MOST_PIXELS >= 108_000_000
    assert MOST_PIXELS <= 2 * 89_478_485, "Pillow's own limit comes later"


def test_decoding_in_threads_gives_the_same_pixels() -> None:
    data = _encoded(_picture(4200, 4200), "JPEG", quality=70)
    with ThreadPoolExecutor(4) as pool:
        assert len({decoded.sample_id for decoded in pool.map(decode, [data] * 4)}) == 1


def test_truncated_camera_photo_is_refused(tmp_path: Path) -> None:
    data = _encoded(_picture(6000, 4000, "L"), "JPEG", quality=60)
    for share in (0.1, 0.5, 0.99):
        with pytest.raises(InvalidImage):
            decode(data[: int(len(data) * share)])
