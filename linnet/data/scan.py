"""Looks at every image of a raw dataset once: is it readable, how large is it, what is its id?"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from linnet.config import DataConfig
from linnet.data.bad_files import BadFile
from linnet.data.near_duplicates import thumbnail
from linnet.data.rows import RawDataset, RawRow
from linnet.errors import ImageTooLarge, InvalidImage
from linnet.process.cpus import available_cpus
from linnet.progress import Progress
from linnet.vision.decode import encode_png, read_image, sample_id, threads_pay

Result = TypeVar("Result")

_MANY, _FEW = 256, 16
_AHEAD_BYTES = 16 << 20
"""Bytes of images that are read at once, by a thread where there are several."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a scan learnt of one image."""

    sample_id: str
    content: str
    """Digest of the bytes as they lie in the raw dataset."""
    width: int
    height: int
    channels: int
    thumbnail: bytes = b""
    """What near duplicates are found by, where they are looked for."""


@dataclass(frozen=True, slots=True)
class Scan:
    """A dataset whose every image was looked at."""

    good: RawDataset
    """Its rows whose images can be used."""
    seen: list[Seen]
    """What was learnt of each of these."""
    bad: list[BadFile]
    contents: list[str]
    """Digest of the bytes of every row, good or bad, in the order of the raw dataset."""


def scan(
    raw: RawDataset, config: DataConfig, progress: Progress | None = None, thumbnails: bool = False
) -> Scan:
    """Decodes every image of a dataset, in order; the pixels are not kept.

    `init` and `ingest` both look through this, so that they find the same bad files.
    """

    def look(row: RawRow) -> Seen | BadFile:
        try:
            return _look(row, config, thumbnails)
        except InvalidImage as error:
            return BadFile(row.origin, content_of(row), str(error))

    good: list[RawRow] = []
    seen: list[Seen] = []
    bad: list[BadFile] = []
    contents: list[str] = []
    for row, result in zip(raw.rows, in_order(look, raw.rows, progress, "reading images"), strict=True):
        contents.append(result.content)
        if isinstance(result, BadFile):
            bad.append(result)
        else:
            good.append(row)
            seen.append(result)
    return Scan(replace(raw, rows=good), seen, bad, contents)


def content_of(row: RawRow) -> str:
    """Digest of an image's bytes as they lie in the raw dataset: what `Seen.content` is.

    Empty where the file cannot be read: such a file is a bad one.
    """
    if not isinstance(row.content, str):
        return sample_id(row.content)
    try:
        return _digest(_bytes(row, row.content))
    except InvalidImage:
        return ""


def encoded(row: RawRow) -> bytes:
    """The bytes that the sample table keeps: a file as it is, bare pixels as PNG.

    Raises:
        InvalidImage: the file cannot be read any more.
    """
    return _bytes(row, row.content) if isinstance(row.content, str) else encode_png(row.content)


def in_order(
    work: Callable[[RawRow], Result], rows: Sequence[RawRow], progress: Progress | None, what: str
) -> Iterator[Result]:
    """Maps `work` over rows in order, on all cores where the images are large enough to gain by it."""
    sizes = [_size(row) for row in rows]
    threads = threads_pay([size for size in sizes if size])
    chunks = _chunks(rows, sizes, _FEW if threads else _MANY)
    lists = (_ahead if threads else map)(lambda part: [work(row) for row in part], chunks)
    done = 0
    for results in lists:
        yield from results
        done += len(results)
        if progress:
            progress(what, done, len(rows))


def _chunks(rows: Sequence[RawRow], sizes: Sequence[int], most: int) -> Iterator[Sequence[RawRow]]:
    """Rows in parts of at most `most`, and of fewer where the images that come next are large."""
    start = held = 0
    for end, size in enumerate(sizes):
        if end > start and (end - start >= most or held + size > _AHEAD_BYTES):
            yield rows[start:end]
            start, held = end, 0
        held += size
    if start < len(rows):
        yield rows[start:]


def _ahead(
    work: Callable[[Sequence[RawRow]], list[Result]], parts: Iterable[Sequence[RawRow]]
) -> Iterator[list[Result]]:
    """As `map`, on threads that run only a little ahead, so that memory stays bounded."""
    cores = available_cpus()
    waiting: deque[Future[list[Result]]] = deque()
    with ThreadPoolExecutor(cores) as pool:
        try:
            for part in parts:
                waiting.append(pool.submit(work, part))
                if len(waiting) > 2 * cores:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # Ctrl-C, or an error: what has not begun never will
            pool.shutdown(wait=False, cancel_futures=True)


def _look(row: RawRow, config: DataConfig, thumbnails: bool) -> Seen:
    if not isinstance(row.content, str):  # bare pixels: encoding and decoding them changes nothing
        identity = sample_id(row.content)
        height, width, channels = row.content.shape
        small = thumbnail(row.content) if thumbnails else b""
        return Seen(identity, identity, width, height, channels, small)
    if _size(row) > config.max_image_mb * 1_000_000:  # not even read
        raise ImageTooLarge.bytes(row.origin, _size(row), config.max_image_mb)
    data = _bytes(row, row.content)
    image = read_image(data, row.origin, config.max_pixels, config.max_image_mb)
    height, width, channels = image.pixels.shape
    small = thumbnail(image.pixels) if thumbnails else b""
    return Seen(image.sample_id, _digest(data), width, height, channels, small)


def _size(row: RawRow) -> int:
    """Bytes of an image's file; 0 where it has none, or cannot be read."""
    try:
        return Path(row.content).stat().st_size if isinstance(row.content, str) else 0
    except OSError:
        return 0


def _bytes(row: RawRow, path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidImage(row.origin, f"cannot be read: {error.strerror}") from error


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
