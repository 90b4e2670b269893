"""Files kept by their content: equal files are kept once, and come back as clones or hard links."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from linnet.cache.digest import File, Tree, file_digest
from linnet.cache.memo import Memo

_FICLONE = 0x40049409
"""ioctl of Linux: a copy that shares its blocks until one of both is written to (btrfs, xfs)."""
READ_ONLY = 0o444
_cannot_clone: set[int] = set()
"""Devices that said no: not asked again by this process."""


class Blobs:
    """A folder of files named by the SHA-256 of their bytes; all are read-only."""

    def __init__(self, root: Path, memo: Memo) -> None:
        self.root, self.memo = root, memo

    def path(self, digest: str) -> Path:
        """Where the file with this content is, if it is."""
        return self.root / digest[:2] / digest

    def holds(self, file: File) -> bool:
        """Whether the content is here, byte for byte; what is damaged is thrown away."""
        path = self.path(file.digest)
        try:
            whole = path.stat().st_size == file.size and file_digest(path, self.memo) == file.digest
        except FileNotFoundError:
            return False
        if not whole:
            path.unlink(missing_ok=True)
        return whole

    def add(self, source: Path, file: File) -> None:
        """Moves a file, whose digest was just taken, into the store; an equal one that is whole stays."""
        if self.holds(file):
            source.unlink()
            return
        path = self.path(file.digest)
        path.parent.mkdir(parents=True, exist_ok=True)
        before = source.stat()
        source.replace(path)
        self.memo.carry(before, path)

    def place(self, tree: Tree, target: Path) -> None:
        """Makes `target` the file or folder that the tree describes, whatever was there.

        Raises:
            FileNotFoundError: a content is not here.
        """
        clear(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        if tree.kind == "file":
            self._deliver(tree.files[0], target)
            return
        target.mkdir()
        for folder in sorted({*_parents(tree), *tree.empty}):
            (target / folder).mkdir(parents=True, exist_ok=True)
        for file in tree.files:
            self._deliver(file, target / file.path)

    def _deliver(self, file: File, target: Path) -> None:
        source = self.path(file.digest)
        before = source.stat()
        if _clone(source, target, before.st_dev):
            return
        try:
            os.link(source, target)
        except FileNotFoundError:
            raise
        except OSError:  # another device, too many links, a file system without them
            _copy(source, target)
        else:
            self.memo.carry(before, source)


def clear(path: Path) -> None:
    """Removes a file or a folder, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _parents(tree: Tree) -> Iterator[str]:
    for file in tree.files:
        head = os.path.dirname(file.path)  # noqa: PTH120  a name, not a path on disk
        if head:
            yield head


def _clone(source: Path, target: Path, device: int) -> bool:
    """Whether `target` now shares the blocks of `source`, each free to change without the other."""
    if device in _cannot_clone:
        return False
    try:
        import fcntl

        with source.open("rb") as origin, target.open("xb") as copy:
            fcntl.ioctl(copy.fileno(), _FICLONE, origin.fileno())
        target.chmod(READ_ONLY)
    except FileNotFoundError:
        raise
    except (ImportError, OSError) as error:
        target.unlink(missing_ok=True)
        if getattr(error, "errno", None) != errno.ENOSPC:
            _cannot_clone.add(device)
        return False
    return True


def _copy(source: Path, target: Path) -> None:
    try:
        shutil.copyfile(source, target)
        target.chmod(READ_ONLY)
    except BaseException:
        with contextlib.suppress(OSError):
            target.unlink(missing_ok=True)
        raise


def scratch(folder: Path) -> Path:
    """A path in `folder` that nobody else uses; the folder is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{os.getpid()}-{uuid.uuid4().hex}"
