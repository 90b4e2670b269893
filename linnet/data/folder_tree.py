"""Walks a folder of images once: what is an image, and what is left out and why; nothing is decoded.

Links to folders are followed, for people collect photos by linking them. What cannot be an image is
kept with its reason, so that every file below the folder is either an image or counted.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from linnet.errors import DataError
from linnet.vision.formats import ENDINGS, HEAD, format_of

IMAGE_ENDINGS = ENDINGS | frozenset(
    (
        *("heic", "heif", "jxl", "ppm", "pgm", "pbm", "pnm", "tga", "ico", "dng", "cr2", "cr3", "nef", "arw"),
        *("orf", "raf", "rw2", "psd"),
    )
)
"""Endings that claim to be an image. A file with one that cannot be decoded is a bad file, never litter."""

_LITTER = frozenset(("__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"))

NO_IMAGE = "not an image"
HIDDEN = "hidden"
SYSTEM = "written by a system, not by a person"
DANGLING = "link to nothing"
CYCLE = "link to a folder above it"
SPECIAL = "not a file"


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something below a folder that is no sample."""

    origin: str
    """Its path below the folder; of a whole folder it ends with a slash."""
    reason: str


@dataclass(slots=True)
class Folder:
    """A folder with its images and sub-folders, each sorted by name."""

    path: Path
    origin: str
    """Path below the folder that was walked, with a slash at its end; empty for that folder itself."""
    images: list[Path] = field(default_factory=list)
    others: list[Path] = field(default_factory=list)
    """Files that are no images: tables and annotations are looked for among them."""
    folders: list[Folder] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    """Of this folder alone, without `others`."""

    @property
    def name(self) -> str:
        """Its own name."""
        return self.path.name

    def everything(self) -> Iterator[Folder]:
        """This folder and all below, a parent before its children."""
        yield self
        for folder in self.folders:
            yield from folder.everything()

    def all_images(self) -> list[Path]:
        """The images at any depth, sorted by path."""
        found = [path for folder in self.everything() for path in folder.images]
        return sorted(found, key=lambda path: path.as_posix())

    def holds_images(self) -> bool:
        """Whether there is an image at any depth."""
        return any(folder.images for folder in self.everything())

    def all_left_out(self) -> list[LeftOut]:
        """What is left out at any depth, files that are no images included."""
        return [
            item
            for folder in self.everything()
            for item in (
                *folder.left_out,
                *(LeftOut(shown(path, folder), NO_IMAGE) for path in folder.others),
            )
        ]


def walk(root: Path) -> Folder:
    """The tree below a folder.

    Raises:
        DataError: the folder is missing, or it or a folder below cannot be read: images would be lost.
    """
    if not root.is_dir():
        raise DataError(str(root), "is a file, not a folder" if root.exists() else "no such folder")
    return _walk(root, "", ())


def count_reasons(left_out: Iterable[LeftOut]) -> dict[str, int]:
    """How many things were left out for each reason, the commonest first."""
    return dict(Counter(item.reason for item in left_out).most_common())


def utf8(name: str) -> str:
    """A file's name for tables and messages; bytes that are not UTF-8 are escaped."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def shown(path: Path, folder: Folder) -> str:
    """A path of a folder as it stands below the folder that was walked."""
    return folder.origin + utf8(path.name)


def _walk(path: Path, origin: str, above: tuple[tuple[int, int], ...]) -> Folder:
    folder = Folder(path, origin)
    try:
        info = path.stat()
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        remedy = "make it readable or remove it: its images would be missing"
        raise DataError(str(path), f"the folder cannot be read: {error.strerror}", remedy) from error
    here = (*above, (info.st_dev, info.st_ino))
    for entry in entries:
        _sort(entry, folder, here)
    return folder


def _sort(entry: os.DirEntry[str], folder: Folder, above: tuple[tuple[int, int], ...]) -> None:
    """Puts one entry of a folder in its place: image, other file, sub-folder, or left out."""
    origin, path = folder.origin + utf8(entry.name), Path(entry.path)
    try:
        info = entry.stat()
    except OSError as error:
        reason = DANGLING if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror}"
        folder.left_out.append(LeftOut(origin, reason))
        return
    is_folder = stat.S_ISDIR(info.st_mode)
    reason = ""
    if entry.name in _LITTER:
        reason = SYSTEM
    elif entry.name.startswith("."):
        reason = HIDDEN
    elif is_folder and (info.st_dev, info.st_ino) in above:
        reason = CYCLE
    elif not is_folder and not stat.S_ISREG(info.st_mode):
        reason = SPECIAL
    if reason:
        folder.left_out.append(LeftOut(origin + ("/" if is_folder else ""), reason))
    elif is_folder:
        folder.folders.append(_walk(path, origin + "/", above))
    elif _claims_to_be_an_image(path):
        folder.images.append(path)
    else:
        folder.others.append(path)


def _claims_to_be_an_image(path: Path) -> bool:
    """By its ending; a file with another ending is an image if its first bytes are one's."""
    if path.suffix.lower().removeprefix(".") in IMAGE_ENDINGS:
        return True
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:  # whoever decodes it says why
        return True
    return format_of(head) is not None
