"""How many processors this process may use: the affinity mask, and a container's quota (cgroup v1 and v2).

`os.cpu_count` counts the machine's. In a container that may use two of 64 it starts 64 threads, which
then wait for each other's share of time (microsoft/onnxruntime#29510).
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path


def available_cpus(root: Path = Path("/")) -> int:
    """Processors that this process may use, at least 1; a quota of 1.5 counts as 2.

    `root`: where `proc` and `sys` lie.
    """
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [math.ceil(quota) for quota in _quotas(root)]
    return max(1, min([affinity, *quotas]))


def _quotas(root: Path) -> Iterator[float]:
    """The processors that each control group around this process is granted."""
    for folder, version in _groups(root):
        quota = _quota_of_v2(folder) if version == 2 else _quota_of_v1(folder)
        if quota is not None:
            yield quota


def _groups(root: Path) -> Iterator[tuple[Path, int]]:
    """Folders of the groups that limit this process's processors, and the version of their hierarchy.

    Inside a container /proc may name a path of the host that is not to be seen there: the root of what is
    mounted is the container's own group, and is looked at in any case.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return
    mounted = root / "sys/fs/cgroup"
    for line in lines:
        number, controllers, path = line.split(":", 2)
        if number == "0" and not controllers:
            # With both versions at once, v2 is mounted beside v1's controllers.
            tops, version = [mounted, mounted / "unified"], 2
        elif "cpu" in controllers.split(","):
            tops, version = [mounted / controllers, mounted / "cpu"], 1
        else:
            continue
        inner = [part for part in path.split("/") if part not in ("", "..")]
        for top in tops:
            for depth in range(len(inner) + 1):
                yield top.joinpath(*inner[:depth]), version


def _quota_of_v2(folder: Path) -> float | None:
    """Of `cpu.max`: QUOTA PERIOD, where QUOTA may be `max`."""
    try:
        quota, _, period = (folder / "cpu.max").read_text("utf-8").partition(" ")
        return None if quota.strip() == "max" else int(quota) / int(period or 100_000)
    except (OSError, ValueError):
        return None


def _quota_of_v1(folder: Path) -> float | None:
    """Of the CFS scheduler's files; a quota of -1 is none."""
    try:
        quota = int((folder / "cpu.cfs_quota_us").read_text("utf-8"))
        period = int((folder / "cpu.cfs_period_us").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    return quota / period if quota > 0 and period > 0 else None
