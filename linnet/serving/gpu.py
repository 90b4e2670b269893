"""Use of NVIDIA GPUs, as `nvidia-smi` tells it; nothing where there is none."""

from __future__ import annotations

import shutil
import subprocess
import time

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

FRESH_SECONDS = 5.0
_QUERY = "--query-gpu=index,utilization.gpu,memory.used,memory.total"
_last: tuple[float, list[list[str]]] = (float("-inf"), [])


def gpu_metrics() -> list[Metric]:
    """Gauges of use (0 to 1) and memory (bytes) a GPU; measured at most every FRESH_SECONDS."""
    global _last
    if time.monotonic() - _last[0] > FRESH_SECONDS:
        _last = (time.monotonic(), _ask())
    use = GaugeMetricFamily("linnet_gpu_use", "Share of time in which the GPU computed.", labels=("gpu",))
    memory = GaugeMetricFamily("linnet_gpu_memory_bytes", "GPU memory.", labels=("gpu", "kind"))
    for index, percent, used, total in _last[1]:
        use.add_metric((index,), float(percent) / 100)
        memory.add_metric((index, "used"), float(used) * 2**20)
        memory.add_metric((index, "total"), float(total) * 2**20)
    return [use, memory] if _last[1] else []


def _ask() -> list[list[str]]:
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        command = [program, _QUERY, "--format=csv,noheader,nounits"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=2, check=True).stdout
        rows = [[part.strip() for part in line.split(",")] for line in said.splitlines() if line.strip()]
        return [row for row in rows if len(row) == 4 and all(_is_number(part) for part in row)]
    except (OSError, subprocess.SubprocessError):
        return []


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
