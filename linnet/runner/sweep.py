"""What tasks share and can be made again: environments of packages, and what importers fetched.

Both are folders below `.linnet/`, marked with the moment of their last use. One is in use while a program
that runs in it lives (it holds the folder's lock), or, if it was imported, while any run is under way.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from linnet.storage.files import listed
from linnet.storage.locks import file_lock
from linnet.storage.paths import state_dir

ENVIRONMENTS, IMPORTS = "environments", "imports"
logger = logging.getLogger(__name__)
_INSIDE = {"index", "staging"}
"""Folders of the imports that hold no import."""


@dataclass(frozen=True)
class SharedFolder:
    """An environment or an import."""

    path: Path
    size: int
    """Bytes."""
    unused_seconds: float
    used_by: str = ""
    """Why it must stay; empty: nobody uses it."""

    @property
    def name(self) -> str:
        """Such as environments/0123456789ab."""
        return f"{self.path.parent.name}/{self.path.name[:12]}"


def lock_file(folder: Path) -> Path:
    """Whoever works in a folder holds a shared lock on this file; who removes it, one alone."""
    return folder.parent / f"{folder.name}.lock"


def making_file(folder: Path) -> Path:
    """Whoever makes or removes a folder holds a lock on this file; who works in it keeps nobody waiting."""
    return folder.parent / f"{folder.name}.making"


def keep(folder: Path) -> None:
    """Keeps a folder as long as this process lives, and what it becomes by `exec`; it is used now."""
    lock = os.open(lock_file(folder), os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_SH)
    os.set_inheritable(lock, True)
    with contextlib.suppress(FileNotFoundError):
        os.utime(folder)


def shared_folders(under_way: bool) -> list[SharedFolder]:
    """All of them, the least recently used first; `under_way`: whether a run is."""
    found = []
    for kind in (ENVIRONMENTS, IMPORTS):
        root = state_dir() / kind
        for path in listed(root):
            if not path.is_dir() or path.name in _INSIDE:
                continue
            used = "a run is under way" if under_way and kind == IMPORTS else ""
            if _is_locked(lock_file(path)) or _is_locked(making_file(path)):
                used = "a task works in it"
            with contextlib.suppress(FileNotFoundError):  # another process removed it just now
                unused = time.time() - path.stat().st_mtime
                found.append(SharedFolder(path, _size(path), unused, used))
    return sorted(found, key=lambda folder: -folder.unused_seconds)


def to_drop(
    folders: Sequence[SharedFolder], max_unused_seconds: float, max_bytes: float
) -> list[SharedFolder]:
    """Those unused for too long, then the least recently used until the rest fits; never one in use.

    `folders`: the least recently used first.
    """
    left = sum(folder.size for folder in folders)
    drop = []
    for folder in folders:
        if not folder.used_by and (folder.unused_seconds > max_unused_seconds or left > max_bytes):
            drop.append(folder)
            left -= folder.size
    return drop


class _InUse(Exception):
    """Another process holds the lock."""


def remove(folder: SharedFolder) -> bool:
    """Removes a folder, unless somebody began to use it meanwhile; whether it is gone."""
    try:
        with (
            file_lock(making_file(folder.path), waiting=_give_up),
            file_lock(lock_file(folder.path), waiting=_give_up),
        ):
            shutil.rmtree(folder.path, ignore_errors=True)
    except _InUse:
        return False
    return not folder.path.exists()


def _is_locked(file: Path) -> bool:
    if not file.exists():
        return False
    try:
        with file_lock(file, waiting=_give_up):
            return False
    except _InUse:
        return True


def _give_up() -> None:
    raise _InUse


def _size(folder: Path) -> int:
    """Bytes that its removal frees: a file that the installer's cache has, too, stays there."""
    return sum(status.st_size for status in _statuses(folder) if status.st_nlink == 1)


def _statuses(folder: Path) -> Iterator[os.stat_result]:
    for parent, _, names in os.walk(folder, onerror=_told):
        for name in names:
            try:
                yield os.lstat(Path(parent) / name)
            except FileNotFoundError:
                continue


def _told(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # it is being removed
        logger.warning("the size of what lies there is not known: %s", error)
