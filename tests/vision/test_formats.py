"""Every format that is read, by real encoded files: first frames, color profiles, 16 bits, orientation."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from linnet.data.folder_tree import IMAGE_ENDINGS
from linnet.errors import InvalidImage
from linnet.vision.decode import decode
from linnet.vision.formats import ACCEPT, ENDINGS, FORMATS, NAMES, format_of

SIDE = 48
RAMP = np.linspace(0, 255, SIDE).astype(np.uint8)
COLORS = np.dstack([np.tile(RAMP, (40, 1)), np.tile(RAMP[::-1], (40, 1)), np.full((40, SIDE), 90, np.uint8)])
LOSSLESS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "WEBP": {"lossless": True},
    "BMP": {},
    "TIFF": {},
    "JPEG2000": {"irreversible": False},
}
LOSSY: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 98, "subsampling": 0},
    "AVIF": {"quality": 98, "speed": 8},
}

TO_XYZ = np.array([[0.60974, 0.20528, 0.14919], [0.31111, 0.62567, 0.06322], [0.01947, 0.06087, 0.74457]])
"""Adobe RGB (1998), adapted to D50."""
TO_SRGB = np.array([[3.1339, -1.6169, -0.4906], [-0.9785, 1.9160, 0.0333], [0.0720, -0.2290, 1.4057]])


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(bits: int, color_type: int, rows: list[bytes], transparent: bytes = b"") -> bytes:
    """A PNG as Pillow does not write it: 16 bits a channel."""
    each = bits // 8 * {0: 1, 2: 3, 4: 2, 6: 4}[color_type]

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = struct.pack(">IIBBBBB", len(rows[0]) // each, len(rows), bits, color_type, 0, 0, 0)
    parts = [chunk(b"IHDR", head), *([chunk(b"tRNS", transparent)] if transparent else [])]
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    return b"\x89PNG\r\n\x1a\n" + b"".join([*parts, chunk(b"IDAT", body), chunk(b"IEND", b"")])


def test_every_format_is_written_by_this_test() -> None:
    assert {known.plugin for known in FORMATS} == {*LOSSLESS, *LOSSY, "GIF"}


@pytest.mark.parametrize("kind", LOSSLESS)
def test_lossless_format_gives_its_very_pixels(kind: str) -> None:
    data = encoded(Image.fromarray(COLORS), kind, **LOSSLESS[kind])
    assert np.array_equal(decode(data).pixels, COLORS)


@pytest.mark.parametrize("kind", LOSSY)
def test_lossy_format_gives_nearly_its_pixels(kind: str) -> None:
    data = encoded(Image.fromarray(COLORS), kind, **LOSSY[kind])
    assert np.abs(decode(data).pixels.astype(int) - COLORS).max() <= 8


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "PNG", "WEBP", "AVIF"])
def test_of_several_frames_or_pages_the_first_is_read(kind: str) -> None:
    frames = [Image.new("RGB", (16, 12), color) for color in ((250, 0, 0), (0, 0, 250))]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    pixels = decode(data).pixels
    assert pixels.shape == (12, 16, 3)
    assert pixels[..., 0].min() > 240 and pixels[..., 2].max() < 12


def test_mpo_of_a_stereo_camera_is_its_first_picture() -> None:
    first, second = (Image.new("RGB", (16, 16), color) for color in ((200, 30, 30), (30, 30, 200)))
    data = encoded(first, "MPO", save_all=True, append_images=[second], quality=95)
    assert np.abs(decode(data).pixels.astype(int) - [200, 30, 30]).max() <= 6


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF", "JPEG2000", "GIF"])
def test_transparency_of_every_format_is_laid_on_white(kind: str) -> None:
    clear = Image.new("RGBA", (16, 16), (10, 20, 30, 0))
    clear.paste((10, 20, 30, 255), (8, 0, 16, 16))
    pixels = decode(encoded(clear, kind, **LOSSLESS.get(kind, {}))).pixels.astype(int)
    assert pixels[:, :6].min() > 247, kind
    assert np.abs(pixels[:, 10:] - [10, 20, 30]).max() <= 8, kind


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_every_format_that_has_one_is_applied(kind: str, orientation: int) -> None:
    upright = COLORS[:32, :]
    # How a camera that was held so would have written the upright picture (EXIF 2.32, 4.6.5).
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = LOSSLESS.get(kind) or LOSSY.get(kind, {})
    data = encoded(Image.fromarray(np.ascontiguousarray(stored)), kind, exif=exif, **options)
    pixels = decode(data).pixels
    assert pixels.shape == upright.shape
    assert np.abs(pixels.astype(int) - upright).max() <= 8


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "JPEG2000"])
def test_gray_of_16_bits_becomes_8(kind: str) -> None:
    values = np.linspace(0, 65_535, 64).astype(np.uint16).reshape(8, 8)
    pixels = decode(encoded(Image.fromarray(values), kind, **LOSSLESS[kind])).pixels
    assert pixels.shape == (8, 8, 1)
    assert np.array_equal(pixels[..., 0], (values / 65_535 * 255).round().astype(np.uint8))


def test_color_of_16_bits_becomes_8_and_its_transparency_is_laid_on_white() -> None:
    row = struct.pack(">6H", 0, 30_000, 65_535, 1_000, 2_000, 3_000)
    assert decode(png(16, 2, [row])).pixels[0, 0].tolist() == [0, 117, 255]
    alpha = struct.pack(">8H", 0, 30_000, 65_535, 65_535, 0, 0, 0, 0)
    assert decode(png(16, 6, [alpha])).pixels[0].tolist() == [[0, 117, 255], [255, 255, 255]]
    clear = decode(png(16, 2, [row], struct.pack(">3H", 1_000, 2_000, 3_000))).pixels[0]
    assert clear.tolist() == [[0, 117, 255], [255, 255, 255]]


def test_gray_of_32_bits_or_fractions_is_refused_and_not_guessed() -> None:
    for kind in (np.int32, np.float32):
        with pytest.raises(InvalidImage, match="32 bits a channel"):
            decode(encoded(Image.fromarray(np.ones((4, 4), kind)), "TIFF"))


def wide_gamut(gamma: float = 2.2) -> bytes:
    """An RGB profile with the primaries of Adobe RGB (1998), built tag by tag as ICC.1:2010 says."""

    def fixed(*values: float) -> bytes:
        return b"".join(struct.pack(">i", round(value * 65_536)) for value in values)

    primaries = {  # adapted to D50
        b"rXYZ": (0.60974, 0.31111, 0.01947),
        b"gXYZ": (0.20528, 0.62567, 0.06087),
        b"bXYZ": (0.14919, 0.06322, 0.74457),
        b"wtpt": (0.9642, 1.0, 0.8249),
    }
    curve = b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256)) + bytes(2)
    text = b"desc" + bytes(4) + struct.pack(">I", 5) + b"wide\0" + bytes(78)
    tags = {name: b"XYZ " + bytes(4) + fixed(*value) for name, value in primaries.items()}
    tags |= {b"rTRC": curve, b"gTRC": curve, b"bTRC": curve, b"desc": text + bytes(-len(text) % 4)}
    table, body = struct.pack(">I", len(tags)), b""
    start = 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content
    size = start + len(body)
    head = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02100000, b"mntr", b"RGB ", b"XYZ ")
    head += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1.0, 0.8249)
    return head.ljust(128, b"\0") + table + body


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "AVIF"])
def test_color_profile_of_every_format_that_has_one_is_turned_into_srgb(kind: str) -> None:
    """Numbers of Adobe RGB mean more colorful ones in sRGB: a green is a stronger green than it says."""
    options = LOSSLESS.get(kind) or LOSSY.get(kind, {})
    image = Image.new("RGB", (16, 16), (60, 160, 60))
    plain = decode(encoded(image, kind, **options)).pixels[8, 8].astype(int)
    assert np.abs(plain - [60, 160, 60]).max() <= 3
    shown = decode(encoded(image, kind, icc_profile=wide_gamut(), **options)).pixels[8, 8].astype(int)
    # By the definition: linear light, primaries to XYZ, XYZ (of D50) to sRGB, the sRGB curve.
    xyz = TO_XYZ @ (plain / 255) ** 2.2
    linear = np.maximum(TO_SRGB @ xyz, 0)
    curve = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert np.abs(shown - np.minimum(curve * 255, 255)).max() <= 3
    assert np.abs(shown - plain).max() > 20


def test_profile_that_is_srgb_itself_changes_no_pixel() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert np.array_equal(decode(encoded(Image.fromarray(COLORS), "PNG", icc_profile=profile)).pixels, COLORS)


def test_profile_that_is_damaged_or_of_other_colors_is_passed_over() -> None:
    for profile in (b"no profile", wide_gamut()[:200], wide_gamut()[:16] + b"CMYK" + wide_gamut()[20:]):
        data = encoded(Image.fromarray(COLORS), "PNG", icc_profile=profile)
        assert np.array_equal(decode(data).pixels, COLORS)


def test_profiled_images_decode_alike_in_many_threads() -> None:
    data = encoded(Image.fromarray(COLORS), "PNG", icc_profile=wide_gamut(1.8))
    once = decode(data).sample_id
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: decode(data).sample_id, range(200))) == {once}


def test_cmyk_jpeg_of_a_printer_becomes_srgb() -> None:
    pixels = decode(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95)).pixels
    assert pixels.shape == (16, 16, 3)
    assert pixels[8, 8, 0] > 200 and pixels[8, 8, 1:].max() < 60


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "is empty"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC photo"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(40), "HEIC photo"),
        (b"\xff\x0a" + bytes(40), "JPEG XL"),
        (b"%PDF-1.7", "PDF document"),
        (b"  <!DOCTYPE html><p>Not found", "web page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b"hello", NAMES.replace("(", "")),
    ],
)
def test_what_is_not_read_is_called_by_its_name(data: bytes, told: str) -> None:
    with pytest.raises(InvalidImage, match=told):
        decode(data)


def test_camera_raw_is_not_read_as_its_thumbnail() -> None:
    thumbnail = Image.new("RGB", (16, 12))
    for tags in ({254: 1}, {50706: b"\x01\x04\0\0"}):
        from PIL import TiffImagePlugin

        info = TiffImagePlugin.ImageFileDirectory_v2()
        for tag, value in tags.items():
            info.tagtype[tag] = 4 if isinstance(value, int) else 1
            info[tag] = value
        with pytest.raises(InvalidImage, match="camera raw"):
            decode(encoded(thumbnail, "TIFF", tiffinfo=info))


def test_one_list_serves_folders_the_server_and_pages() -> None:
    assert ENDINGS <= IMAGE_ENDINGS
    assert all(kind in ACCEPT for known in FORMATS for kind in known.media_types)
    for kind, options in {**LOSSLESS, **LOSSY, "GIF": {}}.items():
        known = format_of(encoded(Image.fromarray(COLORS), kind, **options))
        assert known is not None and known.plugin == kind


def test_decoding_loads_no_plugin_beyond_the_list() -> None:
    """`Image.open` imports all forty plugins when it misses one, among them those that run programs."""
    code = (
        "import sys, io; from PIL import Image; from linnet.vision.decode import decode\n"
        "buffer = io.BytesIO(); Image.new('L', (4, 4)).save(buffer, 'PNG'); decode(buffer.getvalue())\n"
        "for name in (b'hello', b'\\x89PNG\\r\\n\\x1a\\n', b'II*\\0'):\n"
        "    try: decode(name)\n"
        "    except Exception: pass\n"
        "print([name for name in ('EpsImagePlugin', 'PdfImagePlugin', 'WmfImagePlugin', 'FpxImagePlugin') "
        "if 'PIL.' + name in sys.modules], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] False"
