"""The image formats that are read, told by content: one list for data, server, console and labels."""

from __future__ import annotations

from dataclasses import dataclass

_Signature = tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True)
class ImageFormat:
    """One format, and what decoding it costs."""

    name: str
    """What people call it."""
    plugin: str
    """Pillow's name of it."""
    media_types: tuple[str, ...]
    endings: tuple[str, ...]
    signatures: tuple[_Signature, ...]
    """Bytes at offsets, one of which a file of this format has."""
    bytes_per_pixel: int = 4
    """Memory at the peak of decoding, a pixel; measured by tests/vision/test_memory.py."""

    def is_it(self, head: bytes) -> bool:
        """Whether a file that begins so has this format."""
        return any(_fits(head, signature) for signature in self.signatures)


HEAD = 64
"""Bytes of a file that tell its format."""

FORMATS = (
    ImageFormat("PNG", "PNG", ("image/png",), ("png", "apng"), (((0, b"\x89PNG\r\n\x1a\n"),),)),
    ImageFormat(
        "JPEG", "JPEG", ("image/jpeg",), ("jpg", "jpeg", "jpe", "jfif", "mpo"), (((0, b"\xff\xd8\xff"),),)
    ),
    ImageFormat("WebP", "WEBP", ("image/webp",), ("webp",), (((0, b"RIFF"), (8, b"WEBP")),), 17),
    ImageFormat("GIF", "GIF", ("image/gif",), ("gif",), (((0, b"GIF87a"),), ((0, b"GIF89a"),))),
    ImageFormat("BMP", "BMP", ("image/bmp",), ("bmp", "dib"), (((0, b"BM"), (6, b"\0\0\0\0")),)),
    ImageFormat(
        "TIFF",
        "TIFF",
        ("image/tiff",),
        ("tif", "tiff"),
        (((0, b"II*\0"),), ((0, b"MM\0*"),), ((0, b"II+\0"),), ((0, b"MM\0+"),)),
    ),
    ImageFormat("AVIF", "AVIF", ("image/avif",), ("avif",), (((4, b"ftypavif"),), ((4, b"ftypavis"),)), 10),
    ImageFormat(
        "JPEG 2000",
        "JPEG2000",
        ("image/jp2", "image/jpx"),
        ("jp2", "j2k", "jpf", "jpx", "j2c", "jpc"),
        (((0, b"\0\0\0\x0cjP  \r\n\x87\n"),), ((0, b"\xff\x4f\xff\x51"),)),
        21,
    ),
)
"""Of animations the first frame is read, of several pages the first."""

NAMES = f"{', '.join(known.name for known in FORMATS[:-1])} or {FORMATS[-1].name}"
"""All formats, for messages and pages."""
ENDINGS = frozenset(ending for known in FORMATS for ending in known.endings)
ACCEPT = ",".join(
    [
        *(kind for known in FORMATS for kind in known.media_types),
        *(f".{ending}" for ending in sorted(ENDINGS)),
    ]
)
"""For the `accept` of a file field in a page."""

_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_OTHERS: tuple[tuple[_Signature, str], ...] = (
    (((0, b"%PDF"),), "is a PDF document, not an image: export its pictures"),
    (((0, b"\xff\x0a"),), "is a JPEG XL image, which Pillow does not read: convert it to PNG or JPEG"),
    (((4, b"JXL "),), "is a JPEG XL image, which Pillow does not read: convert it to PNG or JPEG"),
    (((0, b"8BPS"),), "is a Photoshop file, not a plain image: export it as PNG or JPEG"),
    (((4, b"ftypcrx"),), "is camera raw data, not a finished image: export it as JPEG or TIFF"),
    (((0, b"FUJIFILMCCD-RAW"),), "is camera raw data, not a finished image: export it as JPEG or TIFF"),
    (((0, b"version https://git-lfs"),), "is a pointer of Git LFS, not the image: run `git lfs pull`"),
)


def format_of(head: bytes) -> ImageFormat | None:
    """The format of a file by its first `HEAD` bytes (more do no harm); None: none that is read."""
    for known in FORMATS:
        if known.is_it(head):
            return known
    brands = head[8:HEAD]
    if head[4:8] == b"ftyp" and brands[:4] in (b"mif1", b"msf1") and b"avif" in brands:
        return next(known for known in FORMATS if known.name == "AVIF")
    return None


def why_not_read(data: bytes) -> str:
    """What is wrong with a file that has none of the formats, as the rest of a sentence about it."""
    head = data[:HEAD]
    if not head:
        return "is empty"
    for signature, reason in _OTHERS:
        if _fits(head, signature):
            return reason
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF:
        return "is a HEIC photo, whose decoders are not freely licensed: convert it to JPEG or AVIF"
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html")):
        return "is a web page, not an image: a download that failed?"
    if text.startswith((b"<svg", b"<?xml")):
        return "is an SVG or XML file, not pixels: export it as PNG"
    return f"is not a readable image ({NAMES})"


def _fits(head: bytes, signature: _Signature) -> bool:
    return all(head[offset : offset + len(wanted)] == wanted for offset, wanted in signature)
