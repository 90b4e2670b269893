"""Registry, server, log, report and audit together: the commands, and the steps of the DAG."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from linnet.config import MonitoringConfig
from linnet.monitoring.window import last_closed
from linnet.records import DriftReport, SkewReport, TrainingSetManifest
from linnet.storage.paths import prediction_log_dir, server_state_file, state_dir
from linnet.vision.statistics import FEATURES
from tests.monitoring.conftest import Serve, pictures, truth
from tests.serving.packages import CLASSES
from tests.serving.running import running


def linnet(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "linnet", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_commands_find_a_simulated_drift(registered: Path, tmp_path: Path) -> None:
    images = pictures(300, 8)
    folder = tmp_path / "set"
    folder.mkdir()
    np.save(folder / "images-production.npy", images)
    np.save(folder / "labels-production.npy", truth(images))
    TrainingSetManifest(
        classes=CLASSES, features=FEATURES, feature_service="s", height=8, width=8, channels=1,
        dataset_digest="", labels_digest="", counts={},
    ).save(folder / "training_set.json")  # fmt: skip
    pool = ("--training-set", str(folder))
    dry = linnet("drift", "simulate", "--kind", "blur", "--dry-run", *pool)
    assert dry.returncode == 0 and (state_dir() / "monitoring" / "simulated.png").exists(), dry.stderr
    server_state_file().parent.mkdir(parents=True)
    with running(tmp_path / "server", registered, "1", "--log-images", "1.0") as server:
        prediction_log_dir().symlink_to(server.log_dir)
        server_state_file().write_bytes(server.state_file.read_bytes())
        sent = linnet(
            "drift",
            "simulate",
            "--kind",
            "darken",
            "--severity",
            "0.5",
            "--rate",
            "300",
            "--count",
            "400",
            *pool,
        )
        assert sent.returncode == 0 and "400 answered" in sent.stdout, sent.stderr
        server.stop()
    found = linnet("drift", "report", "-o", str(tmp_path / "out"))
    assert found.returncode == 3 and "brightness" in found.stdout, found.stderr
    report = DriftReport.load(tmp_path / "out" / "drift.json")
    assert report.window.rows == 400 and "embedding" in {test.name for test in report.drifted}
    assert "<h1>Drift: " in (tmp_path / "out" / "report.html").read_text()
    audited = linnet("skew", "audit", "--json")
    assert audited.returncode == 0, audited.stderr
    skew = SkewReport.model_validate_json(audited.stdout)
    assert (skew.compared, skew.by_pixels, skew.differences) == (400, 400, 0)


def step(component: str, **given: Any) -> Any:
    return getattr(importlib.import_module(f"components.{component}"), component).python_func(**given)


def artifact(folder: Path) -> Any:
    return SimpleNamespace(path=str(folder), metadata={})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # MLflow's own
def test_steps_of_the_dag_end_in_the_versions_history(registered: Path, serve: Serve, tmp_path: Path) -> None:
    config = MonitoringConfig(window_minutes=30)
    start, end = last_closed(datetime.now(UTC), config)
    log = serve((pictures(400, 3) * 0.5).astype(np.uint8), at=start.timestamp() + 60)
    state_dir().joinpath("serving").mkdir(parents=True)
    prediction_log_dir().symlink_to(log)
    settings, until = config.values(), (end + timedelta(minutes=3)).isoformat()
    parts = {name: artifact(tmp_path / name) for name in ("window", "drift", "performance", "skew", "report")}
    common = {"name": "tiny", "registry": {}}
    version = step("observe_window", **common, monitoring=settings, end=until, window=parts["window"])
    of = {**common, "version": version, "window": parts["window"]}
    found = {name: parts[name] for name in ("drift", "performance", "skew", "report")}
    moved = {"monitoring": settings, "drift": parts["drift"]}
    assert step("measure_drift", **of, **moved) == "drift"
    step("measure_performance", **of, **moved, performance=parts["performance"])
    assert step("audit_skew", **of, serving={}, skew=parts["skew"]) == "pass"
    step("publish_window", **of, **found)
    kept = list((state_dir() / "monitoring" / "tiny" / version).iterdir())
    assert len(kept) == 1
    names = {path.name for path in kept[0].iterdir()}
    assert {"window.json", "drift.json", "performance.json", "skew.json", "report.html"} <= names
    assert json.loads((kept[0] / "drift.json").read_text())["window"]["rows"] == 400
