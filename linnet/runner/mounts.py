"""Puts folders where a task expects them, such as `/data`, for one process and nobody else.

A pod has a file system of its own; a task here gets a view of this machine's, in which some paths are
other folders: a mount namespace of Linux, within a user namespace where the engine is not run by root.
The parts of the tree that lead to such a path are mirrored (a folder of links by mount), so that nothing
is created or changed outside. What the process and its children see ends with them.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 32, 4096, 16384, 1 << 18


@dataclass(frozen=True)
class Mount:
    """A folder or file of this machine and where a task sees it."""

    source: Path
    target: str
    read_only: bool = False


@cache
def can_mount() -> bool:
    """Whether this machine lets a process have a view of its own; tried once, in a process."""
    if not sys.platform.startswith("linux"):
        return False
    words = [sys.executable, "-m", "linnet.runner.mounts"]  # the server has threads, and must not fork
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def enter(mounts: Sequence[Mount], scratch: Path) -> None:
    """Gives this process (which must have one thread) its view; `scratch`: an empty folder for its root.

    Raises:
        OSError: the system does not allow it, or a source is missing.
    """
    here = Path.cwd()
    _own_namespace()
    _mount("tmpfs", str(scratch), "tmpfs", 0)
    routes = {parent for mount in mounts for parent in PurePosixPath(mount.target).parents}
    targets = {PurePosixPath(mount.target) for mount in mounts}
    _mirror(PurePosixPath("/"), scratch, routes, targets)
    for mount in mounts:
        inside = str(scratch) + mount.target
        if mount.source.is_dir():
            os.makedirs(inside, exist_ok=True)  # noqa: PTH103
        else:
            Path(inside).parent.mkdir(parents=True, exist_ok=True)
            Path(inside).touch()
        _mount(str(mount.source), inside, "", _BIND | _RECURSIVE)
        if mount.read_only:
            _mount("", inside, "", _BIND | _REMOUNT | _READ_ONLY)
    os.chroot(scratch)
    os.chdir(here)


def _mirror(
    folder: PurePosixPath, root: Path, routes: set[PurePosixPath], targets: set[PurePosixPath]
) -> None:
    """Makes a folder below `root` with all that it holds here; what leads to a target is mirrored in turn."""
    inside = Path(str(root) + str(folder))
    inside.mkdir(exist_ok=True)
    if not Path(folder).is_dir():
        return
    for entry in os.scandir(folder):
        path, copy = folder / entry.name, inside / entry.name
        if path in targets or Path(path) == root:
            continue
        if path in routes:
            _mirror(path, root, routes, targets)
        elif entry.is_symlink():
            copy.symlink_to(os.readlink(entry.path))  # noqa: PTH115
        elif entry.is_dir():
            copy.mkdir()
            _mount(entry.path, str(copy), "", _BIND | _RECURSIVE)
        else:
            copy.touch()
            _mount(entry.path, str(copy), "", _BIND)


def _own_namespace() -> None:
    user, group = os.getuid(), os.getgid()
    _call("unshare", _NEW_MOUNTS | (0 if user == 0 else _NEW_USER))
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    _mount("none", "/", "", _RECURSIVE | _PRIVATE)


def _mount(source: str, target: str, kind: str, flags: int) -> None:
    _call("mount", source.encode(), target.encode(), kind.encode() or None, flags, None)


def _call(name: str, *arguments: int | bytes | None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    words = [
        ctypes.c_ulong(word) if name == "mount" and isinstance(word, int) else word for word in arguments
    ]
    if getattr(libc, name)(*words) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


if __name__ == "__main__":
    _own_namespace()
