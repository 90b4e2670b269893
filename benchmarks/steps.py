"""Seconds of orchestration a step: a chain of steps that do nothing, run as `linnet run` runs them."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from kfp import dsl
from kfp.compiler import Compiler

from benchmarks.machine import describe
from linnet import runs
from linnet.records import RunRequest

STEPS = 12
REPEATS = 5


@dsl.component(base_image="linnet-python", install_kfp_package=False)
def nothing(number: int) -> int:
    return number + 1


@dsl.pipeline(name="chain-of-nothing")
def chain() -> None:
    task = nothing(number=0)
    for _ in range(STEPS - 1):
        task = nothing(number=task.output)


def measure() -> list[float]:
    """Seconds a step of each repeat, kfp's import and the worker's start left out and in."""
    seconds = []
    for _ in range(REPEATS):
        _, folder = runs.create("nothing", {"name": "nothing"}, RunRequest(cause="person", actor="benchmark"))
        Compiler().compile(chain, str(folder / "pipeline.yaml"))
        started = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "linnet.engine.worker", str(folder)],
            check=True,
            capture_output=True,
            env={**os.environ, "LINNET_RUN_DIR": str(folder)},
        )
        seconds.append((time.perf_counter() - started) / STEPS)
    return seconds


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["LINNET_HOME"] = str(Path(home))
        seconds = measure()
    print(
        f"steps: {median(seconds) * 1000:.0f} ms a step (median of {REPEATS} runs of {STEPS} steps, "
        f"{min(seconds) * 1000:.0f} to {max(seconds) * 1000:.0f}; the worker's own start included)\n"
        f"  {describe()}"
    )


if __name__ == "__main__":
    main()
