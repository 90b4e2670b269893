"""A backup file: a tar archive of files of one folder, whose last member is a manifest with every digest.

What the manifest does not name is no part of it, and without one the archive is not whole.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, Any

from linnet.errors import StorageError
from linnet.storage.files import replacing

MANIFEST = "linnet-backup.json"
FORMAT = 1
BytesDone = Callable[[int], None]
"""Is told how many more bytes are done."""


@dataclass
class Manifest:
    """What a backup holds, and where it came from."""

    linnet: str
    made_at: str
    home: str
    """The state folder that it was made of; addresses within it are moved when it is restored elsewhere."""
    with_keys: bool = False
    format: int = FORMAT
    files: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Size and SHA-256 by path."""
    links: dict[str, str] = field(default_factory=dict)
    """Where a symbolic link within the folder points."""
    notes: list[str] = field(default_factory=list)
    """What whoever restores it should know."""


class _Hashed:
    """A file that is read, and the digest of what was."""

    def __init__(self, file: IO[bytes], progress: BytesDone) -> None:
        self._file, self._progress, self.digest = file, progress, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        content = self._file.read(size)
        self.digest.update(content)
        self._progress(len(content))
        return content


class ArchiveWriter:
    """Adds files to an archive that is being written."""

    def __init__(self, tar: tarfile.TarFile, manifest: Manifest, progress: BytesDone) -> None:
        self._tar, self._manifest, self._progress = tar, manifest, progress
        self._same: dict[tuple[int, int], str] = {}

    def add(self, path: Path, name: str) -> None:
        """Adds a file under a name: as much of it as it has now; one that has gone is left out.

        A file with several names is kept once.
        """
        try:
            with path.open("rb") as file:
                about = os.fstat(file.fileno())
                same = (about.st_dev, about.st_ino)
                member = tarfile.TarInfo(name)
                member.mtime, member.mode = int(about.st_mtime), about.st_mode & 0o777
                if about.st_nlink > 1 and same in self._same:
                    first = self._same[same]
                    member.type, member.linkname = tarfile.LNKTYPE, first
                    self._tar.addfile(member)
                    self._manifest.files[name] = self._manifest.files[first]
                    self._progress(about.st_size)
                    return
                member.size = about.st_size
                hashed = _Hashed(file, self._progress)
                self._tar.addfile(member, hashed)
        except FileNotFoundError:
            return
        except tarfile.TarError as error:
            raise StorageError(f"{path} became shorter while it was read: try again") from error
        self._same[same] = name
        self._manifest.files[name] = (about.st_size, hashed.digest.hexdigest())

    def link(self, name: str, target: str) -> None:
        """Adds a symbolic link."""
        member = tarfile.TarInfo(name)
        member.type, member.linkname = tarfile.SYMTYPE, target
        self._tar.addfile(member)
        self._manifest.links[name] = target


@contextmanager
def writing_archive(target: Path, manifest: Manifest, progress: BytesDone) -> Iterator[ArchiveWriter]:
    """An archive that is there, whole and readable by its owner only, when the block has ended well.

    `target`: `.tar`, or `.tar.gz` and `.tgz`, which are compressed.
    """
    packed = target.suffix in (".gz", ".tgz")
    with replacing(target) as scratch:
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            with tarfile.open(fileobj=file, mode="w:gz" if packed else "w", **_level(packed)) as tar:
                yield ArchiveWriter(tar, manifest, progress)
                text = json.dumps(asdict(manifest), indent=1).encode()
                member = tarfile.TarInfo(MANIFEST)
                member.size, member.mode = len(text), 0o600
                tar.addfile(member, io.BytesIO(text))
            file.flush()
            os.fsync(file.fileno())


def _level(packed: bool) -> dict[str, Any]:
    return {"compresslevel": 1} if packed else {}  # most of it is images and weights, which are packed


def unpack(source: Path, folder: Path, progress: BytesDone) -> Manifest:
    """Unpacks an archive into an empty folder, and compares every byte with its manifest.

    Raises:
        StorageError: it is no backup, not whole, changed since, or of a newer Linnet.
    """
    try:
        with tarfile.open(source) as tar:
            for member in tar:
                tar.extract(member, folder, filter="data")
                progress(member.size)
    except FileNotFoundError as error:
        raise StorageError(f"{source}: there is no such file") from error
    except (tarfile.TarError, EOFError, OSError, ValueError) as error:
        if isinstance(error, OSError) and not isinstance(error, tarfile.TarError) and error.errno:
            raise
        raise StorageError(f"{source}: not a whole Linnet backup ({error}); take another one") from error
    manifest = _manifest(source, folder / MANIFEST)
    (folder / MANIFEST).unlink()
    _compare(source, folder, manifest)
    return manifest


def _manifest(source: Path, file: Path) -> Manifest:
    try:
        values = json.loads(file.read_bytes())
        if values["format"] > FORMAT:
            raise StorageError(
                f"{source}: of format {values['format']}, made by Linnet {values['linnet']}; this one knows "
                f"{FORMAT}: update Linnet"
            )
        return Manifest(**values)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StorageError(
            f"{source}: not a whole Linnet backup: it ends without its list of files; take another one"
        ) from error


def _compare(source: Path, folder: Path, manifest: Manifest) -> None:
    found = {
        PurePosixPath(path.relative_to(folder)).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }
    odd = sorted(found ^ (set(manifest.files) | set(manifest.links)))
    odd += [
        name
        for name, (size, digest) in manifest.files.items()
        if name in found and ((folder / name).stat().st_size != size or _digest(folder / name) != digest)
    ]
    odd += [
        name for name, to in manifest.links.items() if name in found and str((folder / name).readlink()) != to
    ]
    if odd:
        more = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
        raise StorageError(f"{source}: {odd[0]}{more} is not what was backed up: take another backup")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
