"""Processors that a process may use: affinity, and quotas of control groups written as the kernel does."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from linnet.process.cpus import available_cpus
from tests.test_house import MODULES, ROOT

MACHINE = set(range(64))


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: MACHINE)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


V1 = "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        pytest.param({}, 64, id="no control groups"),
        pytest.param({"proc/self/cgroup": "0::/\n"}, 64, id="v2, no limit file at the root"),
        pytest.param({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "200000 100000\n"}, 2, id="v2"),
        pytest.param({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"}, 2, id="1.5"),
        pytest.param({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "10000 100000\n"}, 1, id="0.1"),
        pytest.param(
            {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"}, 64, id="v2 max"
        ),
        pytest.param({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "rubbish"}, 64, id="unreadable"),
        pytest.param(
            {
                "proc/self/cgroup": "0::/kubepods/pod1/c1\n",
                "sys/fs/cgroup/kubepods/pod1/c1/cpu.max": "max 100000\n",
                "sys/fs/cgroup/kubepods/pod1/cpu.max": "300000 100000\n",
                "sys/fs/cgroup/kubepods/cpu.max": "1600000 100000\n",
            },
            3,
            id="v2: the pod's limit binds its container",
        ),
        pytest.param(
            {
                "proc/self/cgroup": V1 + "0::/\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "400000\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            4,
            id="v1: the host's path is not to be seen in the container",
        ),
        pytest.param(
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "25000\n",
            },
            2,
            id="v1: on the host",
        ),
        pytest.param(
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            },
            64,
            id="v1: no quota",
        ),
        pytest.param(
            {
                "proc/self/cgroup": "0::/machine.slice\n",
                "sys/fs/cgroup/unified/machine.slice/cpu.max": "500000 100000\n",
            },
            5,
            id="v2 beside v1",
        ),
    ],
)
def test_available_cpus_are_those_of_the_quota(tmp_path: Path, files: dict[str, str], expected: int) -> None:
    assert available_cpus(write(tmp_path, files)) == expected


def test_affinity_binds_where_it_is_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 7})
    files = {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "800000 100000\n"}
    assert available_cpus(write(tmp_path, files)) == 2


def test_nobody_counts_processors_by_another_way() -> None:
    counts = re.compile(r"cpu_count|sched_getaffinity")
    allowed = {"linnet/process/cpus.py", "tests/process/test_cpus.py"}
    found = {str(path.relative_to(ROOT)) for path in MODULES if counts.search(path.read_text("utf-8"))}
    assert found - allowed == set()
