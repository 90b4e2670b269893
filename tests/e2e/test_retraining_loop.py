"""The loop closes by itself: a drifted stream, a window, the policy, a run on that window, a new champion."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.use_case import CONFIG, UseCase

pytestmark = [pytest.mark.proof, pytest.mark.timeout(900)]

WINDOW = 20
"""Seconds."""
SETTINGS = f"""\
log_images = 1.0
[monitoring]
window_minutes = {WINDOW / 60}
lateness_minutes = 0
min_rows = 50
[retraining]
windows = 1
violations = 1
min_new_labels = 30
"""
MONITOR = """
import sys
from pathlib import Path
from linnet.config import load_config
from linnet.engine.client import host_of
from pipelines.compile import compile_pipeline
config = load_config(Path("photos.toml"))
package = compile_pipeline("monitoring", config, Path("monitoring.yaml"))
host_of(config.engine).client().create_run_from_pipeline_package(
    str(package), arguments={"end": sys.argv[1]}, run_name="monitoring", experiment_name="photos"
)
"""


def play(case: UseCase, seed: int) -> float:
    """Plays the drifted stream, with its labels; the share that the server named rightly."""
    done = case.linnet(
        "drift", "simulate", "--kind", "invert", "--severity", "1", "--count", "300", "--rate", "60",
        "--feedback", "--seed", str(seed),
        "--training-set", case.state / "latest/build-features/training_set",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"([\d.]+)% named rightly", done.stdout)
    assert found is not None, done.stdout
    return float(found[1]) / 100


def monitor(case: UseCase, end: float) -> None:
    """Submits the monitoring DAG for the window that ends then, as a recurring run would."""
    moment = datetime.fromtimestamp(end, UTC).isoformat()
    sent = subprocess.run(
        [sys.executable, "-c", MONITOR, moment], **case.place(), capture_output=True, text=True, check=False
    )
    assert sent.returncode == 0, sent.stdout + sent.stderr


def retraining(case: UseCase) -> list[dict[str, Any]]:
    file = case.state / "ledger" / "retraining-photos.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [json.loads(line)["entry"] for line in lines]


def test_drifted_stream_ends_in_a_champion_that_copes_with_it(tmp_path: Path) -> None:
    case = UseCase.of_photos(tmp_path, each=80)
    (case.folder / "photos.toml").write_text(CONFIG + SETTINGS)
    first = case.linnet("run", "photos.toml")
    assert first.returncode == 0, first.stdout + first.stderr
    up = case.linnet("up", "--detach", "--config", "photos.toml")
    assert up.returncode == 0, up.stdout + up.stderr
    try:
        begin = (time.time() // WINDOW + 1) * WINDOW  # a window that the release did not touch
        time.sleep(begin - time.time())
        before = play(case, 1)
        monitor(case, begin + WINDOW)
        until = time.monotonic() + 500
        while not [v for v in case.versions() if "champion" in v["aliases"] and v["version"] == "2"]:
            assert time.monotonic() < until, (retraining(case), case.record())
            time.sleep(3)
        after = play(case, 2)
        decisions = [entry["decision"] for entry in retraining(case) if entry["kind"] == "decision"]
        assert [decision["request"] for decision in decisions] == [True], decisions
        assert after >= before + 0.05, f"{before:.3f} before, {after:.3f} after"
    finally:
        case.linnet("down")
