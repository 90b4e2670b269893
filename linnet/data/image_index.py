"""Finds the image that a table or an export means, however it spells the path."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

_UPLOADS = re.compile(r"^(.*/)?data/upload/\d+/")
"""Where a Label Studio server keeps a project's uploads: no folder of the dataset's."""


class ImageIndex:
    """The images below a folder, by every end of their paths, with and without their ending."""

    def __init__(self, root: Path, images: Iterable[Path]) -> None:
        self._root = root
        self._by_name: dict[str, list[PurePosixPath]] = defaultdict(list)
        paths = [PurePosixPath(image.relative_to(root).as_posix()) for image in images]
        for path in paths:
            self._by_name[path.name].append(path)
            if path.stem != path.name:
                self._by_name[path.stem].append(path)
        parents = [path.parent.as_posix() for path in paths]
        self._around = PurePosixPath(os.path.commonpath(parents)) if parents else PurePosixPath()
        """The folder that holds all images: what it is called does not tell one from another."""

    def named_like(self, reference: str) -> list[Path]:
        """The images in any folder that have the name of a reference."""
        wanted = _parts(reference)
        return [self._root / path for path in self._by_name.get(wanted[-1], ())] if wanted else []

    def find(self, reference: str, near: Path | None = None) -> Path | None:
        """The image that `reference` means; None: there is none, or several that fit as well.

        A reference may lack the first folders of an image's path, and an image those of a reference (which
        may be a path of another machine). An image in another folder than the reference names is another
        image, whatever its name.

        Args:
            reference: A path, an address, or a name alone, perhaps without its ending.
            near: Folder of the table or export; an image below it is preferred.
        """
        wanted = _parts(reference)
        named = self._by_name.get(wanted[-1], []) if wanted else []
        places = [self._around]
        if near is not None:
            place = PurePosixPath(near.relative_to(self._root).as_posix())
            places.append(place)
            if len(named) > 1:
                named = [path for path in named if path.is_relative_to(place)] or named
        shared = {path: _shared(wanted, path) for path in named}
        whole = {path: _own(path, places) for path in named}
        fits = [path for path in named if shared[path] >= min(len(wanted), whole[path])]
        best = max((shared[path] for path in fits), default=0)
        fits = [path for path in fits if shared[path] == best]
        return self._root / fits[0] if len(fits) == 1 else None


def _parts(reference: str) -> list[str]:
    """The folders and the name of a reference, without what a server or a step upwards adds."""
    path = unquote(urlsplit(reference).path if "://" in reference else reference).replace("\\", "/")
    parts = PurePosixPath(_UPLOADS.sub("", path)).parts
    return [part for part in parts if part not in ("/", "//", "..")]


def _own(path: PurePosixPath, places: list[PurePosixPath]) -> int:
    """How many parts of an image's path tell it from others: the fewest below one of the places."""
    below = [len(path.relative_to(place).parts) for place in places if path.is_relative_to(place)]
    return min(below, default=len(path.parts))


def _shared(wanted: list[str], path: PurePosixPath) -> int:
    """How many parts from the end are the same; the last one may lack its ending."""
    count = 1
    for one, other in zip(wanted[-2::-1], path.parts[-2::-1], strict=False):
        if one != other:
            break
        count += 1
    return count
