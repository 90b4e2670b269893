"""A real podman for tests, and images made on this machine: no registry is needed."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

from tests.engine.parity import box_parts
from tests.shallow import shallow

IMAGE = "localhost/linnet-test/busybox:1"
_HERE = "linnet-test-containers.conf"
_SMALL_LIMITS = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
"""
"""For machines where podman's defaults do not start a container: no systemd, no right to raise limits."""


@cache
def why_no_podman(folder: Path) -> str:
    """Why no container can be run here; empty: one was. It leaves the environment so that podman works."""
    if shutil.which("podman") is None:
        return "podman is not installed"
    if not (why := _make_image()):
        why = _tried()
    if not why:
        return ""
    file = folder / _HERE
    file.write_text(_SMALL_LIMITS)
    os.environ["CONTAINERS_CONF"] = str(file)
    return _make_image() or _tried()


def _tried() -> str:
    done = _podman("run", "--rm", "--network", "none", IMAGE, "true")
    return "" if done.returncode == 0 else f"podman runs no container here: {done.stderr.strip()[-300:]}"


def _make_image() -> str:
    """An image of busybox alone."""
    busybox = shutil.which("busybox")
    if busybox is None:
        return "busybox is not installed (apt-get install busybox-static)"
    if _podman("image", "exists", IMAGE).returncode == 0:
        return ""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(busybox, "bin/busybox")
        for name in (
            "sh",
            "cat",
            "echo",
            "env",
            "id",
            "mkdir",
            "sleep",
            "true",
            "cp",
            "test",
            "tr",
            "ls",
            "dirname",
        ):
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
        for name in ("tmp", "etc", "proc", "dev", "sys"):
            folder = tarfile.TarInfo(name)
            folder.type, folder.mode = tarfile.DIRTYPE, 0o777
            archive.addfile(folder)
    done = subprocess.run(["podman", "import", "-", IMAGE], input=packed.getvalue(), capture_output=True)
    return "" if done.returncode == 0 else f"podman imports no image: {done.stderr.decode()[-300:]}"


def submit(client: Any, pipeline: Any, image: str) -> str:
    """Submits a pipeline with its container components in another image; the run's id."""
    from kfp.compiler import Compiler

    with tempfile.TemporaryDirectory() as scratch:
        file = Path(scratch) / "pipeline.yaml"
        shallow(Compiler().compile, pipeline, str(file))
        file.write_text(file.read_text().replace(f"image: {box_parts.IMAGE}\n", f"image: {image}\n"))
        return str(client.create_run_from_pipeline_package(str(file), enable_caching=False).run_id)


def running(label: str) -> list[str]:
    """Ids of the containers with a label, running or not."""
    return _podman("ps", "--all", "--quiet", "--filter", f"label={label}").stdout.split()


def _podman(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["podman", *words], capture_output=True, text=True, check=False, timeout=150)
