"""Cleaning the cache up: what may go is decided from facts, and what is needed stays, whatever the limits."""

from __future__ import annotations

import math
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from linnet.cache.digest import file_digest
from linnet.cache.store import Cache, Entry
from linnet.storage.files import listed

GRACE_SECONDS = 3600.0
"""What a killed step left behind goes when it is this old."""


@dataclass(frozen=True)
class CacheEntry:
    """An entry with what matters for keeping it."""

    file: Path
    task: str
    digest: str
    seconds: float
    """What the work took."""
    unused_seconds: float
    """Since it was stored, or last served."""
    blobs: Mapping[str, int]
    """Bytes by content."""

    @property
    def size(self) -> int:
        """Bytes of its contents; other entries may share them."""
        return sum(self.blobs.values())


@dataclass(frozen=True)
class Plan:
    """What goes, what is kept although a limit says otherwise (with the reason), and the bytes freed."""

    drop: tuple[CacheEntry, ...]
    protected: tuple[tuple[CacheEntry, str], ...]
    freed: int
    kept: int


def cached_entries(cache: Cache) -> list[CacheEntry]:
    """All entries, the least recently used first; damaged ones are as old as can be."""
    moment = time.time()
    found = []
    for file in cache.entry_files():
        entry = cache.load(file)
        try:
            unused = moment - file.stat().st_mtime if entry else float("inf")
        except FileNotFoundError:  # another process dropped it just now
            continue
        found.append(
            CacheEntry(
                file,
                file.parent.name,
                file.stem,
                entry.result.seconds if entry else 0.0,
                unused,
                _blobs(entry),
            )
        )
    return sorted(found, key=lambda held: -held.unused_seconds)


def _blobs(entry: Entry | None) -> dict[str, int]:
    trees = entry.outputs.values() if entry else ()
    return {file.digest: file.size for tree in trees for file in tree.files}


def plan(
    entries: Iterable[CacheEntry], needed: Mapping[str, str], max_unused_seconds: float, max_bytes: float
) -> Plan:
    """Drops what was not used for too long, then the least recently used until the rest fits.

    Args:
        entries: the least recently used first.
        needed: entries (by digest) that must stay, with the reason.
        max_unused_seconds: longest time without use.
        max_bytes: most bytes that the contents may take, equal ones counted once.
    """
    entries = list(entries)
    sizes = {digest: size for held in entries for digest, size in held.blobs.items()}
    uses = Counter(digest for held in entries for digest in held.blobs)
    total = sum(sizes.values())
    drop, protected, freed = [], [], 0
    for held in entries:
        old, crowded = held.unused_seconds > max_unused_seconds, total - freed > max_bytes
        if not (old or crowded):
            continue
        if held.digest in needed:
            protected.append((held, needed[held.digest]))
            continue
        drop.append(held)
        uses.subtract(held.blobs.keys())
        freed += sum(size for digest, size in held.blobs.items() if uses[digest] == 0)
    return Plan(tuple(drop), tuple(protected), freed, total - freed)


def sweep(cache: Cache, planned: Plan) -> None:
    """Removes the planned entries, the contents that no entry uses any more, and what killed steps left."""
    with cache.lock(exclusive=True):
        for held in planned.drop:
            held.file.unlink(missing_ok=True)
        used = {digest for file in cache.entry_files() for digest in _blobs(cache.load(file))}
        for blob in _blob_files(cache):
            if blob.name not in used:
                blob.unlink(missing_ok=True)
        _forget(cache)
    for left in listed(cache.root / "staging"):
        if not _in_use(left):
            shutil.rmtree(left, ignore_errors=True) if left.is_dir() else left.unlink(missing_ok=True)


def damaged(cache: Cache) -> list[CacheEntry]:
    """Entries of which a byte is not as it was stored, or missing; every byte is read, none remembered.

    Damaged contents are thrown away; the entries are the caller's to drop.
    """
    with cache.lock():
        bad = {path.name for path in _blob_files(cache) if file_digest(path) != path.name}
        for digest in bad:
            cache.blobs.path(digest).unlink(missing_ok=True)
        held = cached_entries(cache)
        return [each for each in held if not _whole(cache, each)]


def _blob_files(cache: Cache) -> list[Path]:
    return [blob for folder in listed(cache.root / "blobs") for blob in listed(folder)]


def _whole(cache: Cache, held: CacheEntry) -> bool:
    readable = not math.isinf(held.unused_seconds)
    return readable and all(cache.blobs.path(digest).exists() for digest in held.blobs)


def _forget(cache: Cache) -> None:
    """Drops remembered digests that were not used for a long time; they are worked out again."""
    for file in listed(cache.memo.root):
        with suppress(FileNotFoundError):  # another process was faster
            if time.time() - file.stat().st_mtime > 30 * 86400:
                file.unlink()


def _in_use(left: Path) -> bool:
    """Whether the process that made this scratch folder lives, or may live on another machine."""
    process = left.name.partition("-")[0]
    try:
        age = time.time() - left.stat().st_mtime
    except FileNotFoundError:
        return False
    return (process.isdigit() and Path(f"/proc/{process}").exists()) or age < GRACE_SECONDS
