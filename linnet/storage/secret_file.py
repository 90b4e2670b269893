"""Secrets in files that only their owner can read: written whole, made once, checked when they are read."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path

from linnet.errors import StorageError
from linnet.storage.files import replacing

_SHORTEST = 16


def write_secret(path: Path, text: str) -> None:
    """Replaces the file at `path` by `text` (UTF-8), whole or not at all, readable by its owner only."""
    with replacing(path) as scratch:
        _write(scratch, text)


def secret_in(path: Path, make: Callable[[], str] = lambda: secrets.token_urlsafe(32)) -> str:
    """The secret in a file; made at the first call, and the same one for whoever calls at that moment.

    Raises:
        StorageError: others may read or have written the file, or what it holds is no secret.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write(scratch, make())
        with contextlib.suppress(FileExistsError):  # another process was first: its secret counts
            os.link(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)
    return _read(path)


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _read(path: Path) -> str:
    remedy = "delete it, and start again: a new one is made"
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
    with os.fdopen(descriptor, "rb") as file:
        about = os.fstat(file.fileno())
        if about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) & 0o077:
            raise StorageError(
                f"{path}: other users may read this secret, or wrote it (owner {about.st_uid}, mode "
                f"{stat.S_IMODE(about.st_mode):04o}); {remedy}"
            )
        content = file.read(4096)
    try:
        text = content.decode("utf-8").strip()
    except UnicodeDecodeError:
        text = ""
    if len(text) < _SHORTEST:
        raise StorageError(f"{path}: holds no secret of {_SHORTEST} characters or more; {remedy}")
    return text
