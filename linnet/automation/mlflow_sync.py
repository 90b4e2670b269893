"""Sends the records of ended runs to MLflow, in a process of its own that no run and no command waits for."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path


class MlflowSync:
    """Starts `python -m linnet.registry.run_mirror` when a run has ended.

    It goes on when the engine of a `linnet run` ends. What a kill or an MLflow that is down leaves over
    is mirrored after the next run, or by `linnet runs mirror`.
    """

    def __init__(self, log: Path) -> None:
        """`log`: where the process says what went wrong."""
        self._log = log
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        """A run has ended. Several at once are one process at work and one that waits to look again."""
        self._processes = [process for process in self._processes if process.poll() is None]
        with contextlib.suppress(OSError), self._log.open("ab") as log:  # a full disk has no room for it
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "linnet.registry.run_mirror"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            )

    def stop(self) -> None:
        """Ends what is under way: mirrored again, a run is the same MLflow run."""
        for process in self._processes:
            process.kill()
            process.wait()
