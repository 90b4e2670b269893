"""Notices that the library's files changed while a process that loaded them still runs.

A process that forks its children gives them the code that it has loaded, however old. The content
cache's key says which sources are on the disk, so the two must be the same.
"""

from __future__ import annotations

import os
from pathlib import Path

import linnet

_ROOT = Path(linnet.__file__).parent


def signature() -> tuple[tuple[str, int, int, int], ...]:
    """Path, size, time of modification and time of change of every source file of the library.

    The time of change too, because the other can be set back: an edit that does so would still be seen.
    """
    found: list[tuple[str, int, int, int]] = []
    folders = [str(_ROOT)]
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    if entry.name != "__pycache__":
                        folders.append(entry.path)
                elif entry.name.endswith(".py"):
                    about = entry.stat()
                    found.append((entry.path, about.st_size, about.st_mtime_ns, about.st_ctime_ns))
    return tuple(sorted(found))
