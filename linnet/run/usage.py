"""What a step takes of the machine while it works: processors, memory and GPUs, sampled now and then.

`live/TASK.usage.jsonl` in the run's folder. Linux only; GPUs where `nvidia-smi` is.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from linnet.process.tree import descendants
from linnet.run.live import LIVE, append, read_lines
from linnet.run.runs import run_dir

_FIRST_SECONDS = 2.0
_SHARE = 1 / 300
"""Of the time so far that lies between two samples, so that a day's step leaves some thousand."""
_QUERY = "--query-gpu=index,utilization.gpu,memory.used,memory.total"


@dataclass(frozen=True)
class Usage:
    """One sample. A step's children count as its own."""

    at: float
    """Seconds since the step began to work."""
    cpus: float
    """Processors kept busy since the sample before: 1.5 is one and a half."""
    memory_mb: float
    """Resident memory; what processes share is counted for each."""
    gpu: float | None = None
    """Mean share of the time in which the GPUs that are visible were busy."""
    gpu_memory_mb: float | None = None
    """Taken on these GPUs, by whomever."""


@contextmanager
def sampled(task: str) -> Iterator[None]:
    """Samples what this process and its children take, until the end of the block."""
    folder = run_dir()
    if folder is None or not Path("/proc/self/stat").exists():
        yield
        return
    over = threading.Event()
    file = usage_file(folder, task)
    watcher = threading.Thread(target=_watch, args=(file, over), daemon=True, name="usage")
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join(10.0)


def usage_file(folder: Path, task: str) -> Path:
    """The samples of a run's step."""
    return folder / LIVE / f"{task}.usage.jsonl"


def read_usage(folder: Path, task: str) -> list[Usage]:
    """The samples of a run's step, in the order in which they were taken; of its last attempt only."""
    found: list[Usage] = []
    for row in read_lines(usage_file(folder, task)):
        with contextlib.suppress(TypeError):  # of another Linnet
            one = Usage(**row)
            found = [*found, one] if found and one.at > found[-1].at else [one]
    return found


def _watch(file: Path, over: threading.Event) -> None:
    began = before = time.monotonic()
    seconds = _taken()[0]
    while not over.wait(max(_FIRST_SECONDS, (time.monotonic() - began) * _SHARE)):
        worked, memory = _taken()
        moment = time.monotonic()
        cpus = max(worked - seconds, 0.0) / (moment - before)  # a child that ended takes its seconds along
        busy, held = _gpus()
        sample = Usage(round(moment - began, 1), round(cpus, 2), round(memory), busy, held)
        with contextlib.suppress(OSError):  # the step itself says that the disk is full
            append(file, asdict(sample))
        seconds, before = worked, moment


def _taken() -> tuple[float, float]:
    """Processor seconds and resident megabytes of this process and all below it."""
    ticks, pages = 0, 0
    for pid in (os.getpid(), *descendants(os.getpid())):
        with contextlib.suppress(OSError, IndexError, ValueError):
            words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(words[11]) + int(words[12])
            pages += int(words[21])
    return ticks / os.sysconf("SC_CLK_TCK"), pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _gpus() -> tuple[float | None, float | None]:
    """Mean share of the time in which GPUs were busy, and megabytes taken; None where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None, None
    command = [program, _QUERY, "--format=csv,noheader,nounits"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        rows = [[float(word) for word in line.split(",")] for line in said.splitlines() if line.strip()]
    except (OSError, ValueError, subprocess.SubprocessError):
        return None, None
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if visible.replace(",", "").isdigit():
        rows = [row for row in rows if str(int(row[0])) in visible.split(",")]
    if not rows:
        return None, None
    return sum(row[1] for row in rows) / len(rows) / 100, sum(row[2] for row in rows)
