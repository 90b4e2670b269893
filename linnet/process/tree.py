"""Ends processes together with everything that they started."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from pathlib import Path

from linnet.process.state import started_at

_PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Lets this process inherit the children of its children when those end, so that `descendants` sees them.

    Linux only (prctl(2)); elsewhere a grandchild that leaves its process group is lost from sight.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid: int) -> list[int]:
    """The processes whose parent is `pid`, those that ended and were not waited for among them."""
    try:  # a list that Linux keeps, instead of a look at every process of the machine
        files = [task / "children" for task in Path(f"/proc/{pid}/task").iterdir()]
        return [int(word) for file in files for word in file.read_text().split()]
    except OSError:
        return _by_parent().get(pid, [])


def descendants(pid: int) -> list[int]:
    """All processes below `pid`, itself left out."""
    by_parent = _by_parent()
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = by_parent.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _by_parent() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError, ValueError):
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            found.setdefault(parent, []).append(int(entry.name))
    return found


def kill_tree(pid: int) -> None:
    """Kills a process, its group and all that it started, also what is started meanwhile."""
    for _ in range(5):
        below = descendants(pid)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        for process in [pid, *below]:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process, signal.SIGKILL)
        if not any(started_at(process) for process in below):
            return
        time.sleep(0.01)
