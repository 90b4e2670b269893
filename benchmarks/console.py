"""First useful paint of each console page in Chromium: 200 runs, 50 versions, 100,000 predictions."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from benchmarks.machine import describe
from linnet.registry.mlflow_registry import MlflowRegistry
from tests.console.browser import Browser, console
from tests.console.conftest import make
from tests.e2e.use_case import UseCase

RUNS, VERSIONS, PREDICTIONS, ROUNDS = 200, 50, 100_000, 5
USEFUL = "#main .tile, #main .wide, #main .drop"
"""What a reader came for: a figure, a table, or the place to drop an image."""


def main() -> None:
    """Prints the median and the slowest time of each page."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as scratch:
        case = _use_case(Path(scratch) / "photos")
        _many_runs(case)
        _many_versions(case)
        _many_predictions(case.state / "serving" / "log")
        program = shutil.which("chromium")
        assert program, "needs the Debian package chromium"
        with console(case) as (url, tokens), sync_playwright() as driver:
            browser = Browser(driver, program, url, "")
            times = _measure(browser, tokens["operator"], case)
            browser.close()
    state = f"{RUNS} runs, {VERSIONS} versions, {PREDICTIONS:,} predictions"
    print(f"first useful paint in ms, n = {ROUNDS}: {state}")
    print(describe("nicegui", "playwright"))
    for path, values in times.items():
        print(f"  {path:<12} median {statistics.median(values):6.0f}   slowest {max(values):6.0f}")


def _use_case(folder: Path) -> UseCase:
    kept = os.environ.get("LINNET_CONSOLE_USE_CASE")
    if kept:
        shutil.copytree(kept, folder, symlinks=True)
        return UseCase(folder)
    return make(folder)


def _many_runs(case: UseCase) -> None:
    """Runs of earlier days: the record and the stages of one, under other names."""
    model = case.runs()[0]
    record = json.loads((model / "run.json").read_text())
    for number in range(RUNS - len(case.runs())):
        began = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=number)
        name = f"photos-{began:%Y%m%d-%H%M%S}-{number:04x}"
        folder = case.state / "runs" / name
        shutil.copytree(model / "stages", folder / "stages")
        ended = began + timedelta(minutes=4)
        fresh = {"run_id": name, "started_at": began.isoformat(), "ended_at": ended.isoformat()}
        (folder / "run.json").write_text(json.dumps(record | fresh))


def _many_versions(case: UseCase) -> None:
    """Versions of the same package, straight in MLflow."""
    os.environ["LINNET_HOME"] = str(case.state)
    registry = MlflowRegistry()
    client = registry._mlflow
    first = client.get_model_version("photos", "1")
    for _ in range(VERSIONS - len(registry.versions("photos"))):
        client.create_model_version("photos", first.source, first.run_id, dict(first.tags))


def _many_predictions(folder: Path) -> None:
    """A log as a server writes it at some 25 requests a second: files of 1,000 rows."""
    import pyarrow as pa
    from pyarrow import parquet

    from linnet.records.prediction_log import SERVED, new_file, served_schema

    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(PREDICTIONS // 1000):
        began = datetime(2026, 11, 23, tzinfo=UTC) + timedelta(seconds=40 * number)
        rows = {
            "request_id": [f"{number}-{row}" for row in range(1000)],
            "index": [0] * 1000,
            "at": [began] * 1000,
            "model": ["photos"] * 1000,
            "version": ["2"] * 1000,
            "features": [[0.0] * 8] * 1000,
            "probabilities": [[0.9, 0.05, 0.05]] * 1000,
            "predicted": rng.choice(["brick", "grass", "water"], 1000).tolist(),
            "confidence": rng.random(1000).tolist(),
            "latency_ms": rng.gamma(2.0, 1.0, 1000).tolist(),
            "ok": [True] * 1000,
            "error": [None] * 1000,
            "sample_id": ["0" * 32] * 1000,
            "image": [None] * 1000,
        }
        table = pa.Table.from_pydict(rows, schema=served_schema())
        parquet.write_table(table, new_file(folder, SERVED, number), compression="zstd")


def _measure(browser: Browser, token: str, case: UseCase) -> dict[str, list[float]]:
    """Milliseconds from the navigation to the first useful paint."""
    run = case.runs()[-1].name
    paths = {
        "overview": "/", "runs": "/runs", "run": f"/runs/{run}", "models": "/models",
        "model": "/models/photos/2", "release": "/release", "data": "/data",
        "monitoring": "/monitoring", "try": "/try",
    }  # fmt: skip
    browser.open()
    browser.go(f"/login?token={token}")
    times: dict[str, list[float]] = {name: [] for name in paths}
    for _ in range(ROUNDS):
        for name, path in paths.items():
            browser.page.goto(browser.url + path, wait_until="commit")
            browser.page.wait_for_selector(USEFUL, timeout=60_000)
            times[name].append(browser.page.evaluate("performance.now()"))
    return times


if __name__ == "__main__":
    main()
