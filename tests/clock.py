"""A wall clock that a test moves: hours of monitoring pass in seconds, in every process of a use case."""

from __future__ import annotations

import mmap
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path


class Clock:
    """Wall clock of all processes that are started with `environment`.

    It begins in the past and is moved towards the present, never beyond: files carry the kernel's time, and
    none may seem older than it is.
    """

    def __init__(self, scratch: Path, hours_ago: float) -> None:
        """`scratch`: a folder for the library and the clock's file."""
        file, library = scratch / "clock", scratch / "clock.so"
        compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
        assert compiler is not None, "a C compiler is needed, as by torch and by benchmarks/load.c"
        source = Path(__file__).with_suffix(".c")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
        file.write_bytes(struct.pack("=q", 0))
        with file.open("r+b") as opened:
            self._ahead = mmap.mmap(opened.fileno(), 8)
        self.environment = {"LD_PRELOAD": str(library), "LINNET_CLOCK_FILE": str(file)}
        self._set(-hours_ago * 3600)

    def now(self) -> float:
        """Seconds since the epoch, as those processes see it."""
        return time.time() + self.ahead

    @property
    def ahead(self) -> float:
        """Seconds before the present; negative."""
        nanoseconds: int = struct.unpack("=q", self._ahead[:])[0]
        return nanoseconds / 1e9

    def move(self, seconds: float) -> None:
        """Some time passes at once."""
        self._set(self.ahead + seconds)

    def move_to(self, moment: float) -> None:
        """It becomes `moment`, in seconds since the epoch; not back."""
        self.move(max(moment - self.now(), 0.0))

    def _set(self, seconds: float) -> None:
        assert seconds <= 0.0, f"the clock would be {seconds:.0f} s ahead of the files' times"
        self._ahead[:] = struct.pack("=q", round(seconds * 1e9))
