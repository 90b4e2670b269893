"""Digests of contents: of texts, plain values, files and folders. SHA-256, which processors compute."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from linnet.cache.memo import Memo
from linnet.errors import StorageError

MISSING = "missing"
"""The digest of what does not exist: no content has it."""
_CHUNK = 1 << 20


@dataclass(frozen=True)
class File:
    """One file of a tree: its path in it (empty if the tree is this file), its digest and bytes."""

    path: str
    digest: str
    size: int


@dataclass(frozen=True)
class Tree:
    """The contents of a file or folder: what it takes to make it again from its files' contents."""

    kind: Literal["file", "folder"]
    files: tuple[File, ...]
    empty: tuple[str, ...] = ()
    """Folders that hold nothing."""

    @cached_property
    def digest(self) -> str:
        """64 hex digits over names and contents."""
        listed = [self.kind, [[file.path, file.digest] for file in self.files], list(self.empty)]
        return text_digest(json.dumps(listed))

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def text_digest(text: str) -> str:
    """SHA-256 of a text, 64 hex digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def value_digest(value: Any) -> str:
    """Digest of a plain JSON value, whatever the order of its keys; 3 and 3.0 are the same."""
    return text_digest(json.dumps(_canonical(value), sort_keys=True))


def _canonical(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _canonical(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_canonical(item) for item in value]
    return value


def file_digest(path: Path, memo: Memo | None = None) -> str:
    """SHA-256 of a file's bytes; not read again if the memo knows it unchanged.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        before = os.fstat(stream.fileno())
        if memo is not None and (known := memo.recall(before)) is not None:
            return known
        began = time.time_ns()
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
        after = os.fstat(stream.fileno())
    if memo is not None and (before.st_mtime_ns, before.st_ctime_ns) == (
        after.st_mtime_ns,
        after.st_ctime_ns,
    ):
        memo.keep(path, before, digest, began)
    return digest


def tree_of(path: Path, memo: Memo | None = None) -> Tree | None:
    """The contents of a file or folder, links followed; None if there is nothing.

    Raises:
        StorageError: a folder contains itself by a link.
        OSError: something cannot be read.
    """
    if path.is_file():
        return Tree("file", (File("", file_digest(path, memo), path.stat().st_size),))
    if not path.is_dir():
        return None
    files: list[File] = []
    empty: list[str] = []
    _walk(path, "", memo, files, empty, (os.path.realpath(path),))
    return Tree("folder", tuple(files), tuple(empty))


def tree_digest(path: Path, memo: Memo | None = None) -> str:
    """Digest of `tree_of(path)`; MISSING if there is nothing."""
    tree = tree_of(path, memo)
    return MISSING if tree is None else tree.digest


def _walk(
    folder: Path, prefix: str, memo: Memo | None, files: list[File], empty: list[str], above: tuple[str, ...]
) -> None:
    with os.scandir(folder) as found:
        entries = sorted(found, key=lambda entry: entry.name)
    for entry in entries:
        name = f"{prefix}{entry.name}"
        if entry.is_dir():
            real = os.path.realpath(entry.path)
            if real in above:
                raise StorageError(f"{entry.path}: the folder contains itself by a link: remove the link")
            before = len(files) + len(empty)
            _walk(Path(entry.path), f"{name}/", memo, files, empty, (*above, real))
            if len(files) + len(empty) == before:
                empty.append(name)
        elif entry.is_file():
            digest = file_digest(Path(entry.path), memo)
            files.append(File(name, digest, entry.stat().st_size))
        else:  # a broken link, a pipe, a socket: it is there, and has no bytes
            files.append(File(name, MISSING, 0))
