"""The state folder is its owner's alone: databases, logs, tokens and what runs execute lie in it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from linnet.errors import StorageError

_OTHERS = 0o077
UMASK = 0o077
"""Of every process that serves or runs; a command's own is left, as it also writes into people's folders."""


def close_to_others(folder: Path) -> None:
    """Takes every right of other users on a folder that is ours; one that is not there is left out.

    Raises:
        StorageError: it is another user's, or others may write into somebody else's: what lies in it may be
            theirs by now.
    """
    try:
        about = folder.stat()
    except FileNotFoundError:
        return
    mode = stat.S_IMODE(about.st_mode)
    if about.st_uid == os.geteuid():
        if mode & _OTHERS:
            folder.chmod(mode & ~_OTHERS)
        return
    if about.st_uid != 0 or mode & stat.S_IWOTH:  # a cluster's volume is root's, and its group's to write
        raise StorageError(
            f"{folder} belongs to user {about.st_uid} (mode {mode:04o}), who could put code and models into "
            "it: set LINNET_HOME to a folder of your own"
        )


def make_private(folder: Path) -> None:
    """Makes a folder that only its owner enters, or closes it to others.

    Raises:
        StorageError: as `close_to_others`.
    """
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
    close_to_others(folder)


def _refuse(error: OSError) -> None:
    """What `os.walk` calls for a folder that it would leave open without a word."""
    if isinstance(error, FileNotFoundError):  # it was deleted just now
        return
    raise StorageError(
        f"{error.filename}: the folder cannot be closed to others: {error.strerror}"
    ) from error


def close_tree(folder: Path) -> None:
    """The same for all folders below one; a link among them is not followed, and refused.

    Raises:
        StorageError: a link lies there, through which something else would be written.
    """
    if not folder.exists() and not folder.is_symlink():
        return
    for place, folders, _ in os.walk(folder, onerror=_refuse):
        for path in (Path(place), *(Path(place) / name for name in folders)):
            if path.is_symlink():
                raise StorageError(f"{path} is a link, and would be written through: delete it")
            close_to_others(path)
