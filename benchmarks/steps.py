"""Seconds of orchestration a step: chains of steps that do nothing, run as `linnet run` runs them.

The time of a short chain is taken off, so that what is left is the steps and not the worker's start.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from kfp import dsl
from kfp.compiler import Compiler

from benchmarks.machine import describe
from linnet.records import RunRequest
from linnet.run import runs

STEPS = 12
REPEATS = 5


@dsl.component(base_image="linnet-python", install_kfp_package=False)
def nothing(number: int) -> int:
    return number + 1


def chain(length: int) -> Any:
    @dsl.pipeline(name="chain-of-nothing")
    def pipeline() -> None:
        task = nothing(number=0)
        for _ in range(length - 1):
            task = nothing(number=task.output)

    return pipeline


def seconds_of(length: int) -> float:
    _, folder = runs.create("nothing", {"name": "nothing"}, RunRequest(cause="person", actor="benchmark"))
    Compiler().compile(chain(length), str(folder / "pipeline.yaml"))
    started = time.perf_counter()
    command = [sys.executable, "-m", "linnet.runner.run_worker", str(folder)]
    environment = {**os.environ, "LINNET_RUN_DIR": str(folder)}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - started


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["LINNET_HOME"] = str(Path(home))
        try:
            pairs = [(seconds_of(1), seconds_of(1 + STEPS)) for _ in range(REPEATS)]
        finally:
            del os.environ["LINNET_HOME"]
    steps = [(long - short) / STEPS * 1000 for short, long in pairs]
    start = median(short for short, _ in pairs)
    print(
        f"steps: {median(steps):.0f} ms a step (median of {REPEATS} chains of {STEPS} more steps, "
        f"{min(steps):.0f} to {max(steps):.0f}); a chain of one takes {start:.2f} s\n  {describe()}"
    )


if __name__ == "__main__":
    main()
