"""Looks at every image of a raw dataset once: is it readable, how large is it, what is its id?"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from linnet.data.near_duplicates import thumbnail
from linnet.data.rows import RawDataset, RawRow, invalid_rows
from linnet.errors import InvalidImage
from linnet.process.cpus import available_cpus
from linnet.progress import Progress
from linnet.vision.decode import decode, encode_png, sample_id, threads_pay

Result = TypeVar("Result")

_MANY, _FEW = 256, 16


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


def scan(
    raw: RawDataset, max_pixels: int, progress: Progress | None = None, thumbnails: bool = False
) -> list[Seen]:
    """Decodes every image of a dataset; one `Seen` a row, in order. The pixels are not kept.

    Raises:
        DataError: images are unreadable, truncated or too large; names how many, and the first 20.
    """

    def look(row: RawRow) -> Seen | str:
        try:
            return _look(row, max_pixels, thumbnails)
        except InvalidImage as error:
            return str(error)

    seen: list[Seen] = []
    problems: list[str] = []
    for result in in_order(look, raw.rows, progress, "reading images"):
        if isinstance(result, Seen):
            seen.append(result)
        else:
            problems.append(result)
    if problems:
        problem = f"{len(problems)} of {len(raw.rows)} images cannot be used"
        raise invalid_rows(raw.where, problem, problems, "repair or remove these files and run again")
    return seen


def content_of(row: RawRow) -> str:
    """Digest of an image's bytes as they lie in the raw dataset: what `Seen.content` is.

    Raises:
        InvalidImage: the file cannot be read.
    """
    return sample_id(row.source) if not isinstance(row.source, Path) else _digest(_bytes(row, row.source))


def encoded(row: RawRow) -> bytes:
    """The bytes that the sample table keeps: a file as it is, bare pixels as PNG.

    Raises:
        InvalidImage: the file cannot be read any more.
    """
    return _bytes(row, row.source) if isinstance(row.source, Path) else encode_png(row.source)


def in_order(
    work: Callable[[RawRow], Result], rows: Sequence[RawRow], progress: Progress | None, what: str
) -> Iterator[Result]:
    """Maps `work` over rows in order, on all cores where the images are large enough to gain by it."""
    threads = threads_pay([row.source.stat().st_size for row in rows[:_MANY] if isinstance(row.source, Path)])
    chunk = _FEW if threads else _MANY
    chunks = (rows[i : i + chunk] for i in range(0, len(rows), chunk))
    lists = (_ahead if threads else map)(lambda part: [work(row) for row in part], chunks)
    done = 0
    for results in lists:
        yield from results
        done += len(results)
        if progress:
            progress(what, done, len(rows))


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


def _look(row: RawRow, max_pixels: int, thumbnails: bool) -> Seen:
    if not isinstance(row.source, Path):  # bare pixels: encoding and decoding them changes nothing
        identity = sample_id(row.source)
        height, width, channels = row.source.shape
        small = thumbnail(row.source) if thumbnails else b""
        return Seen(identity, identity, width, height, channels, small)
    data = _bytes(row, row.source)
    image = decode(data, row.origin, max_pixels)
    height, width, channels = image.pixels.shape
    small = thumbnail(image.pixels) if thumbnails else b""
    return Seen(image.sample_id, _digest(data), width, height, channels, small)


def _bytes(row: RawRow, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidImage(row.origin, f"cannot be read: {error.strerror}") from error


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()
