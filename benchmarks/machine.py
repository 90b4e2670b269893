"""The line that stands with every published figure: device, cores, versions."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

from linnet.process.cpus import available_cpus


def describe(*packages: str) -> str:
    """Processor, cores, system and the versions that matter for a figure."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        cpu = names[0] if names else cpu
    versions = ", ".join(f"{name} {version(name)}" for name in ("linnet", "kfp", *packages))
    system = f"{platform.system()}, Python {platform.python_version()}"
    return f"{cpu}, {available_cpus()} cores, {system}, {versions}"
