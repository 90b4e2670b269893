"""A disk that is full, broken or read-only for a while: a library that is loaded before the program's own."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

MODES = {"full": "F", "broken": "B", "read-only": "R"}


class FaultyDisk:
    """Files below `folder` lie on it, for processes that are started with `environment`."""

    def __init__(self, folder: Path, scratch: Path) -> None:
        """`scratch`: outside of `folder`, for the library and its switch."""
        self._switch, library = scratch / "switch", scratch / "disk_faults.so"
        compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
        assert compiler is not None, "a C compiler is needed, as by torch and by benchmarks/load.c"
        source = Path(__file__).with_suffix(".c")
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
        self.environment = {
            "LD_PRELOAD": str(library),
            "LINNET_FAULT_FOLDER": str(folder),
            "LINNET_FAULT_SWITCH": str(self._switch),
        }
        self.works()

    def refuses(self, mode: str) -> None:
        """From now on it is `full`, `broken` or `read-only`."""
        self._switch.write_text(MODES[mode])

    def works(self) -> None:
        """From now on it works again."""
        self._switch.write_text("-")
