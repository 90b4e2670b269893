"""Writing so that no reader ever meets half a file, and what a disk says when it cannot."""

from __future__ import annotations

import errno
import os
import re
import secrets
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path

from linnet.errors import StorageError

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_DATABASE_FULL = {
    f"SQLITE_IOERR{kind}"
    for kind in ("", "_WRITE", "_FSYNC", "_DIR_FSYNC", "_TRUNCATE", "_SHMOPEN", "_SHMSIZE", "_SHMMAP")
}
"""How SQLite says that a file could not become longer; a write-ahead log and its index are files too."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A hidden file beside `path` to write to; it takes the place of `path` in one rename at the end.

    After an error `path` is as it was. The folder is made if need be. Nobody can guess the hidden file's
    name, and lay a link there that would be written through.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(8)}")
    try:
        yield scratch
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise


def write_text(path: Path, text: str) -> None:
    """Replaces the file at `path` by `text` (UTF-8), whole or not at all."""
    with replacing(path) as scratch:
        scratch.write_text(text, "utf-8")


def files_in_each(folder: Path, name: str) -> list[Path]:
    """The files `name` of all folders in `folder`, by the folders' names; none where there is no such folder.

    One that may not be looked at is listed, too: whoever reads it is told. (A glob passes over it.)

    Raises:
        StorageError: `folder` cannot be listed.
    """
    return [path / name for path in listed(folder) if is_there(path / name)]


def listed(folder: Path, pattern: str = "*") -> list[Path]:
    """What lies in a folder under names that match, by name; none where there is no such folder.

    Raises:
        StorageError: it cannot be listed. (A glob passes over it.)
    """
    try:
        return sorted(path for path in folder.iterdir() if fnmatchcase(path.name, pattern))
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        told = translate_storage(error, folder)
        raise (StorageError(f"{folder}: {error.strerror}") if told is error else told) from error


def is_there(path: Path) -> bool:
    """Whether there is such a file, or nobody may know: then whoever reads it is told."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def is_a_file(path: Path) -> bool:
    """Whether `path`, of which others said a part, is a file that can be read about.

    A name that no file can have, such as one of 300 letters, is none, and neither is one in a folder that may
    not be entered, where `Path.is_file` fails.
    """
    try:
        return path.is_file()
    except OSError:
        return False


def file_name(text: str) -> str:
    """A name, such as a model's, as a part of a path: everything unusual becomes `_`."""
    return re.sub(r"[^A-Za-z0-9_-]", "_", text)


def translate_storage(error: OSError, where: object = "") -> Exception:
    """A full, read-only or forbidden disk as one message about `where`; any other OSError unchanged."""
    if error.errno in _FULL:
        remedy = "the disk is full, or your share of it: free some space and run the same command again"
        remedy += " (`linnet cache gc` drops old results)"
    elif error.errno in _REFUSED:
        remedy = "change its permissions, or set LINNET_HOME to another folder"
    else:
        return error
    return StorageError(f"{where or error.filename or 'while writing'}: {error.strerror}; {remedy}")


def translate_database(error: sqlite3.Error, where: object) -> Exception:
    """The same for an error of SQLite about the file `where`; one that is not the disk's unchanged."""
    name = getattr(error, "sqlite_errorname", "")
    if name == "SQLITE_FULL" or name in _DATABASE_FULL:
        return translate_storage(OSError(errno.ENOSPC, str(error)), where)
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return translate_storage(OSError(errno.EACCES, str(error)), where)
    return error


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Around code that writes below `folder`: a full or forbidden disk becomes a StorageError."""
    try:
        yield
    except OSError as error:
        told = translate_storage(error, folder)
        if told is error:
            raise
        raise told from error


def shown_url(url: str) -> str:
    """A URL as it may be shown: without a password."""
    return re.sub(r"//[^/@]*@", "//***@", url)
