"""Files that a step wrote, before they move into the store: plain, unshared, and nobody's to change."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from linnet.cache.blobs import READ_ONLY


def own_files(path: Path) -> int:
    """Makes the files at a path plain, unshared and read-only; gives the bytes of the largest.

    A link is replaced by what it shows: moving a file into the store must not take it from elsewhere.
    """
    if path.is_symlink() and path.exists():
        real = path.resolve()
        path.unlink()
        if real.is_dir():
            shutil.copytree(real, path)
        else:
            shutil.copyfile(real, path)
    if path.is_dir():
        return max((own_files(Path(entry)) for entry in path.iterdir()), default=0)
    if not path.is_file():
        return 0
    status = path.stat()
    if status.st_nlink > 1:
        copy = path.with_name(f".{path.name}.{os.getpid()}")
        shutil.copyfile(path, copy)
        copy.replace(path)
    path.chmod(READ_ONLY)
    return status.st_size
