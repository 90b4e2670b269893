"""One stage of a run while it goes: its record, its cost, its deadline, and the bar that shows it."""

from __future__ import annotations

import os
import resource
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Literal

from linnet.errors import LinnetError, RunError
from linnet.process.state import started_at
from linnet.records import StageRecord, now
from linnet.run.live import forget_progress
from linnet.run.runs import run_dir

_gpus_held = 0


def hold_gpus(count: int) -> None:
    """Says how many GPUs this step holds: they cost from its start to its end, busy or not."""
    global _gpus_held
    _gpus_held = count


class Stage:
    """Keeps the stage's record in the run's folder, so that it is true at any moment."""

    def __init__(self, task: str) -> None:
        self.task, self.key, self.cached = task, "", False
        self.saved: dict[str, float] = {}
        hold_gpus(0)
        age = _process_age()
        self.started: datetime = now() - timedelta(seconds=age)
        self.clock = time.monotonic() - age
        if (folder := run_dir()) is not None:
            forget_progress(folder)
        self._save(StageRecord(task=task, state="running", started_at=self.started))

    def spent(self) -> dict[str, float]:
        """Seconds since the stage began: of the clock, of processors (children's too), of GPUs held."""
        own, children = _usage()
        seconds = time.monotonic() - self.clock
        return {
            "seconds": seconds,
            "cpu_seconds": own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
            "gpu_seconds": seconds * _gpus_held,
        }

    def came_from_cache(self, seconds: float, cpu_seconds: float, gpu_seconds: float) -> None:
        """Notes what the work took when it really ran."""
        self.cached = True
        self.saved = {
            "saved_seconds": seconds, "saved_cpu_seconds": cpu_seconds, "saved_gpu_seconds": gpu_seconds
        }  # fmt: skip

    def end(
        self,
        state: Literal["succeeded", "failed", "skipped"],
        values: Mapping[str, Any] | None = None,
        error: BaseException | None = None,
    ) -> None:
        """Closes the record with what the stage took and gave."""
        self._save(
            StageRecord(
                task=self.task,
                state=state,
                started_at=self.started,
                **self.spent(),
                peak_memory_mb=max(usage.ru_maxrss for usage in _usage()) / 1024,
                cached=self.cached,
                **self.saved,
                key=self.key,
                values=dict(values or {}),
                error=_message(error),
                final=isinstance(error, LinnetError) and not error.transient,
                exit_code=error.exit_code if isinstance(error, LinnetError) else int(error is not None),
            )
        )

    def _save(self, record: StageRecord) -> None:
        folder = run_dir()
        if folder is not None:
            record.save(folder / "stages" / f"{self.task}.json")


def _usage() -> tuple[resource.struct_rusage, resource.struct_rusage]:
    return resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)


def _process_age() -> float:
    """Seconds since this process began, if it is a step's own: starting it and importing are its cost."""
    if os.environ.get("_KFP_RUNTIME") != "true":
        return 0.0
    ticks = started_at(os.getpid())
    if ticks is None:  # no /proc here
        return 0.0
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def _message(error: BaseException | None) -> str:
    if error is None:
        return ""
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, LinnetError):
        return str(error)
    return f"{type(error).__name__}: {error}"


class deadline:  # noqa: N801  a context manager that reads as a word
    """Ends the step's process after LINNET_TIMEOUT seconds: the task's timeout, on every backend."""

    def __init__(self, task: str) -> None:
        self.task = task
        self.seconds = float(os.environ.get("LINNET_TIMEOUT", "0"))
        self.timer = threading.Timer(self.seconds, self._expire)
        self.timer.daemon = True

    def __enter__(self) -> None:
        if self.seconds > 0:
            self.timer.start()

    def __exit__(self, *_: object) -> None:
        self.timer.cancel()

    def _expire(self) -> None:
        # A native loop does not listen to exceptions, so the process goes, not only the call.
        stage = Stage(self.task)
        stage.end("failed", error=RunError(f"{self.task} took longer than its {self.seconds:g} seconds"))
        os._exit(124)
