"""Finds the image that a table or an export means, however it spells the path."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit


class ImageIndex:
    """The images below a folder, by every end of their paths, with and without their ending."""

    def __init__(self, root: Path, images: Iterable[Path]) -> None:
        self._root = root
        self._by_name: dict[str, list[PurePosixPath]] = defaultdict(list)
        for image in images:
            path = PurePosixPath(image.relative_to(root).as_posix())
            self._by_name[path.name].append(path)
            if path.stem != path.name:
                self._by_name[path.stem].append(path)

    def find(self, reference: str, near: Path | None = None) -> Path | None:
        """The image that `reference` means; None: there is none, or several that fit as well.

        Args:
            reference: A path, an address, or a name alone, perhaps without its ending.
            near: Folder of the table or export; an image below it is preferred.
        """
        wanted = PurePosixPath(
            unquote(urlsplit(reference).path if "://" in reference else reference).replace("\\", "/")
        )
        found = self._by_name.get(wanted.name, [])
        if len(found) > 1 and near is not None:
            place = PurePosixPath(near.relative_to(self._root).as_posix())
            found = [path for path in found if path.is_relative_to(place)] or found
        best = max((_shared(wanted, path) for path in found), default=0)
        fits = [path for path in found if _shared(wanted, path) == best]
        return self._root / fits[0] if len(fits) == 1 else None


def _shared(wanted: PurePosixPath, path: PurePosixPath) -> int:
    """How many parts from the end are the same; the last one may lack its ending."""
    count = 1
    for one, other in zip(wanted.parts[-2::-1], path.parts[-2::-1], strict=False):
        if one != other:
            break
        count += 1
    return count
