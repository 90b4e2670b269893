"""`linnet run configs/fashion.toml` from an empty state, and again with nothing changed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time

from benchmarks.machine import describe
from linnet.run import runs


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.environ["LINNET_HOME"] = home
        for what in ("first", "second", "third"):
            started = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "linnet", "run", "configs/fashion.toml"],
                check=True,
                stdout=subprocess.DEVNULL,
            )
            seconds = time.perf_counter() - started
            record = runs.load(runs.find())
            stages = ", ".join(
                f"{stage.task} {'cached' if stage.cached else f'{stage.seconds:.1f}'}"
                for stage in record.stages
            )
            print(f"run, {what}: {seconds:.1f} s, {record.state}\n  {stages}", flush=True)
    print(f"  {describe('torch', 'onnxruntime', 'feast', 'mlflow')}")


if __name__ == "__main__":
    main()
