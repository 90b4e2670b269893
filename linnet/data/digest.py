"""Checks of raw files against the digests that name them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from linnet.data.version import DatasetVersion, NamedFile, listing_digest
from linnet.errors import DigestMismatch


def check_folder(folder: Path, version: DatasetVersion) -> None:
    """Checks that a folder is byte for byte what the version names: no file more, none less.

    Raises:
        DigestMismatch: names the first wrong file where the version lists its files, else the folder.
        FileNotFoundError: there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}")
    named = {file.relpath: file for file in version.origins.files}
    present = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    if not named:
        found = listing_digest({name: _digest(path, "md5") for name, path in present.items()})
        if found != version.digest:
            raise DigestMismatch(str(folder), version.digest, found)
        return
    for name, file in named.items():
        if name not in present:
            raise DigestMismatch(str(folder / name), f"md5 {file.md5}", "missing")
        check_file(present[name], file)
    for name in sorted(present.keys() - named.keys()):
        raise DigestMismatch(str(present[name]), "no such file", f"md5 {_digest(present[name], 'md5')}")


def check_file(path: Path, file: NamedFile) -> None:
    """Checks size, md5 and sha256 of one file (md5 is DVC's choice; sha256 resists forgery).

    Raises:
        DigestMismatch: the bytes differ.
    """
    size = path.stat().st_size
    if size != file.size:
        raise DigestMismatch(str(path), f"{file.size} bytes", f"{size} bytes")
    for algorithm, expected in (("md5", file.md5), ("sha256", file.sha256)):
        found = _digest(path, algorithm)
        if found != expected:
            raise DigestMismatch(str(path), f"{algorithm} {expected}", f"{algorithm} {found}")


def quick_digest(path: Path) -> str:
    """32 hex digits (BLAKE2b) that tell whether a file of this machine changed; no `.dvc` file names it."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _digest(path: Path, algorithm: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()
