"""Translation of a full or read-only disk into one message."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from linnet.errors import StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Around code that writes below `folder`: a full or read-only disk becomes a StorageError."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            remedy = "the disk or the quota is full: free some space and run the same command again"
        elif error.errno in _REFUSED:
            remedy = "it may not be written: change its permissions or set LINNET_HOME to another folder"
        else:
            raise
        raise StorageError(f"{folder}: {error.strerror}; {remedy}") from error
