"""Locks between processes: a file under flock(2), which the kernel gives back however its holder ends."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from linnet.errors import StorageError
from linnet.storage.files import translate_storage

_LOOK_SECONDS = 0.1


@contextmanager
def file_lock(
    path: Path, shared: bool = False, mode: int = 0o600, waiting: Callable[[], None] | None = None
) -> Iterator[None]:
    """Waits until no other process holds the lock file `path`; it and its folder are made if need be.

    Many may hold it `shared` at once, or one alone. A child that was forked inside holds it too; a program
    that was started inside does not.

    Args:
        path: The file; a link in its place is not followed.
        shared: Whether others may hold it at the same time.
        mode: Rights of a new file, less the umask.
        waiting: Called ten times a second while another process holds it; what it raises ends the wait.

    Raises:
        StorageError: the file cannot be made or opened.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
    except OSError as error:
        told = translate_storage(error, path)
        if told is error:
            told = StorageError(f"{path}: the lock file cannot be opened ({error.strerror})")
        raise told from error
    try:
        kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        if waiting is None:
            fcntl.flock(descriptor, kind)
        else:
            while not _taken(descriptor, kind):
                waiting()
                time.sleep(_LOOK_SECONDS)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
