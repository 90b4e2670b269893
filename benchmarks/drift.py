"""Drift statistics of 1,000,000 rows x 20 columns, and a window of 10,000 predictions end to end.

Side by side with Evidently (`--evidently PYTHON`: an interpreter that has evidently 0.7.23) and with
the limit of any exact method: `np.sort` of the same columns. Seconds of the clock and, since a busy
machine stretches those, of the processor; the best of n runs.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from linnet.artifacts.reference import SortedSample
from linnet.config import MonitoringConfig
from linnet.monitoring.drift import compare_columns
from linnet.records import DriftReport

ROWS, COLUMNS, REPEATS = 1_000_000, 20, 3
_PEER = """
import sys, time, numpy as np, pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset
import evidently
data = np.load(sys.argv[1])
names = [f"c{i}" for i in range(data["now"].shape[1])]
then, now = (pd.DataFrame(data[key], columns=names) for key in ("then", "now"))
definition = DataDefinition(numerical_columns=list(now.columns))
best = (1e9, 1e9)
for _ in range(int(sys.argv[2])):
    began, spent = time.perf_counter(), time.process_time()
    a, b = (Dataset.from_pandas(frame, data_definition=definition) for frame in (then, now))
    Report([DataDriftPreset()]).run(b, a).dict()
    best = min(best, (time.process_time() - spent, time.perf_counter() - began))
print(*best, evidently.__version__)
"""


def best_of(work: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Seconds of processor and of clock of the run that took the processor least."""
    found = []
    for _ in range(repeats):
        began, spent = time.perf_counter(), time.process_time()
        work()
        found.append((time.process_time() - spent, time.perf_counter() - began))
    return min(found)


def statistics(python: str | None, rows: int, repeats: int) -> None:
    rng = np.random.default_rng(0)
    then = rng.standard_normal((COLUMNS, rows), np.float32)
    now = rng.standard_normal((COLUMNS, rows), np.float32) * np.float32(1.02) + np.float32(0.01)
    columns, references = list(now), [SortedSample.of(column) for column in then]
    compare_columns(references[:2], [column[:1000] for column in columns[:2]])  # imports scipy
    limit = best_of(lambda: [np.sort(column) for column in columns], repeats)
    one = best_of(lambda: compare_columns(references, columns, threads=1), repeats)
    two = best_of(lambda: compare_columns(references, columns, threads=2), repeats)
    print(
        f"drift statistics, {rows:,} rows x {COLUMNS} columns (KS, p, Wasserstein, PSI, Jensen-Shannon), "
        f"best of {repeats}, load {os.getloadavg()[0]:.1f}:\n"
        f"  one thread {one[0]:.2f} CPU s, {one[1]:.2f} s; two threads {two[0]:.2f} CPU s, {two[1]:.2f} s\n"
        f"  np.sort alone {limit[0]:.2f} CPU s, {limit[1]:.2f} s: "
        f"we take {one[0] / limit[0]:.2f} times the limit",
        flush=True,
    )
    if python is None:
        print("  Evidently: not measured, name an interpreter that has it: --evidently PYTHON")
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "data.npz"
        np.savez(path, then=then.T, now=now.T)
        command = [python, "-W", "ignore", "-c", _PEER, str(path), "1"]
        done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        print(f"  Evidently failed: {done.stderr.strip().splitlines()[-1]}")
        return
    cpu, wall, version = done.stdout.split()[-3:]
    print(
        f"  Evidently {version}, DataDriftPreset of the same frames (n=1): {float(cpu):.1f} CPU s, "
        f"{float(wall):.1f} s: {float(cpu) / one[0]:.0f} times our processor time, "
        f"{float(wall) / two[1]:.0f} times our two threads' time",
        flush=True,
    )


def window(rows: int = 10_000) -> None:
    """Log to page: read the log, all tests, embeddings of 1,000 kept images, performance, audit by pixels."""
    from benchmarks.small_model import fashion, make_champion
    from linnet.features.skew import audit_window
    from linnet.monitoring.measure import measure_drift
    from linnet.monitoring.performance import measure_performance
    from linnet.monitoring.publish import publish
    from linnet.monitoring.window import write_window
    from linnet.serving.log import LogEntry, PredictionLog
    from linnet.serving.predictor import Prediction, Predictor

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        os.environ["LINNET_HOME"] = str(home / "state")
        images, _ = make_champion(home / "package", fashion())
        predictor = Predictor.load("1", home / "package", 1)
        log = PredictionLog(home / "log", 1_000_000, 0.2)
        log.start()
        for start in range(0, rows, 500):
            found = predictor.predict(images[start : start + 500], None)
            for i in range(500):
                part = slice(i, i + 1)
                single = Prediction(
                    found.images[part], found.features[part], found.output[part], found.embedding[part]
                )
                log.offer(
                    LogEntry(f"r{start + i}", time.time(), "small", "1", predictor.answer, 1.0, single, None)
                )
        log.close()
        config, package, out = MonitoringConfig(), home / "package", home / "out"
        end = datetime.now(UTC) + timedelta(seconds=1)
        span = end - timedelta(hours=1), end
        took = {}

        def timed(name: str, work: Callable[[], object]) -> None:
            began = time.perf_counter()
            work()
            took[name] = time.perf_counter() - began

        at = home / "window"
        timed(
            "window",
            lambda: write_window(home / "log", "small", "1", *span, config, at),
        )
        timed("drift", lambda: measure_drift(at, package, config, (), out))
        drift = DriftReport.load(out / "drift.json")
        timed("performance", lambda: measure_performance(at, package, home / "log", drift, config, out))
        timed("skew", lambda: audit_window(at, package, "none", out))
        timed("page", lambda: publish(at, package, [out], out, evidently=False))
        parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in took.items())
        print(f"window of {rows:,} predictions, log to page: {sum(took.values()):.2f} s ({parts}); n=1")
    print(f"  {describe('numpy', 'scipy', 'pyarrow', 'onnxruntime')}")


def main(arguments: Sequence[str] = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    own = sys.executable if importlib.util.find_spec("evidently") else None
    parser.add_argument("--evidently", metavar="PYTHON", default=os.environ.get("EVIDENTLY_PYTHON", own))
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--only", choices=("statistics", "window"))
    options = parser.parse_args(arguments)
    if options.only != "window":
        statistics(options.evidently, options.rows, options.repeats)
    if options.only != "statistics":
        window()


if __name__ == "__main__":
    main(sys.argv[1:])
