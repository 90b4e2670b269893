"""Remembers the digest of a file that has not changed since it was read, so that it is read once.

What vouches for a file is what the kernel keeps of it: device, inode, size, and the times of the last
change of its bytes (mtime) and of its inode (ctime). A program can set mtime back; ctime it cannot,
so that a byte changed under an unchanged path, size and mtime is seen all the same. A memory holds

- on local file systems alone: a network's attributes may be old, and its clock is another;
- if the file was at rest before it was read: a later write has another ctime then, however coarse the
  kernel's clock (git calls the other case "racily clean");
- until the next boot: after a crash a file may lack bytes that its inode promises.

What stays out of sight is a disk that changes bytes by itself: `linnet cache verify` reads all again.
"""

from __future__ import annotations

import contextlib
import os
import time
from functools import cache
from pathlib import Path

from linnet.storage.files import write_text

FLOOR = 1 << 16
"""Smaller files, in bytes, are read again: that costs no more than remembering them."""
REST_NS = 20_000_000
"""Two ticks of the coarsest kernel clock (100 Hz): how long a file must have been left alone."""
_LOCAL = {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "zfs", "tmpfs", "overlay"}


class Memo:
    """A folder of small files: what was read, as it stood then, and the digest that it had."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def recall(self, status: os.stat_result) -> str | None:
        """The digest of a file that is as it was when it was read; None if it must be read."""
        return self.recall_as(_name(status), _signature(status))

    def keep(self, path: Path, status: os.stat_result, digest: str, began_ns: int) -> None:
        """Remembers the digest of a file that had `status` before and after it was read.

        `began_ns`: `time.time_ns()` when reading began.
        """
        if status.st_size >= FLOOR and began_ns - status.st_ctime_ns > REST_NS and is_local(path):
            self.keep_as(_name(status), _signature(status), digest)

    def carry(self, before: os.stat_result, path: Path) -> None:
        """After this process itself linked or renamed a file, which changes its ctime and no byte.

        On a kernel before 6.13, whose ctime moves in ticks of up to 10 ms, a byte that is changed right
        after the link, within its tick, and whose mtime is set back would not be seen.
        """
        digest = self.recall(before) if before.st_size >= FLOOR else None
        if digest is None:
            return
        after = path.stat()
        if _bytes(before) == _bytes(after):
            self.keep_as(_name(after), _signature(after), digest)

    def recall_as(self, name: str, signature: str) -> str | None:
        """The value that was kept under a name, if the signature is the same."""
        try:
            known, _, value = (self.root / name).read_text("ascii").partition("\n")
        except (OSError, UnicodeDecodeError):
            return None
        return value if known == signature and boot_id() else None

    def keep_as(self, name: str, signature: str, value: str) -> None:
        """Keeps a value; where that fails (a full disk), it will be worked out again."""
        with contextlib.suppress(OSError):
            write_text(self.root / name, f"{signature}\n{value}")


def _name(status: os.stat_result) -> str:
    return f"{status.st_dev:x}-{status.st_ino:x}"


def _bytes(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _signature(status: os.stat_result) -> str:
    return f"{boot_id()} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def at_rest(newest_ctime_ns: int) -> bool:
    """Whether files whose newest ctime is this were left alone before now."""
    return time.time_ns() - newest_ctime_ns > REST_NS


@cache
def boot_id() -> str:
    """Names the time since this machine started; empty where the system does not tell."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


def is_local(path: Path) -> bool:
    """Whether a path lies on a file system whose times are this machine's own."""
    return _file_system(os.path.realpath(path.parent)) in _LOCAL


@cache
def _file_system(folder: str) -> str:
    """The type of the file system that holds a folder, by the longest mount point above it."""
    found, longest = "", -1
    try:
        lines = Path("/proc/self/mountinfo").read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return ""
    for line in lines:
        left, _, right = line.partition(" - ")
        point = left.split()[4].encode().decode("unicode_escape")  # a space is written as \040
        inside = folder == point or folder.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= longest:  # of two mounts on one point the later one is seen
            found, longest = right.split()[0], len(point)
    return found
