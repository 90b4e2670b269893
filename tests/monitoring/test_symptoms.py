"""Symptoms are seen where they are: a real server, a real log, real records; what is not there is a note."""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from linnet.artifacts.reference import REFERENCE_FILE, Reference
from linnet.config import MonitoringConfig, RetrainingConfig, ServiceLevelsConfig
from linnet.errors import RequestRejected
from linnet.monitoring.diagnose import diagnose
from linnet.monitoring.measure import measure_drift
from linnet.monitoring.open_window import judge_open_window
from linnet.monitoring.symptoms import Places, gather
from linnet.records import Symptoms
from linnet.serving.predictor import Predictor
from linnet.tasks.answer import answer_of
from tests.monitoring.conftest import Serve, pictures, window_of
from tests.serving.packages import make_package
from tests.serving.running import png, running


def places(folder: Path, champion: str | None = "1") -> Places:
    return Places(
        model="tiny", champion=champion, server_state=folder / "server.json", log=folder / "log",
        windows=folder / "windows", disk=folder / "not" / "there",
    )  # fmt: skip


def write_window(folder: Path, model: str = "tiny", version: str = "1", end: str = "2026-03-01T12") -> None:
    """A window's records, as far as a diagnosis reads them."""
    target = folder / "windows" / model / version / end
    target.mkdir(parents=True)
    tests = [
        {"name": name, "kind": kind, "effect": effect, "threshold": 0.1, "drifted": effect > 0.1}
        for name, kind, effect in (("contrast", "feature", 0.2), ("brightness", "feature", 0.4),
                                   ("entropy", "feature", 0.05), ("classes", "output", 0.3))
    ]  # fmt: skip
    window = {"model": model, "version": version, "end": end}
    drift = {"window": window, "verdict": "drift", "tests": tests, "samples": ["a", "b"]}
    (target / "drift.json").write_text(json.dumps(drift))
    loss = {"value": 0.1, "low": 0.05, "high": 0.15}
    (target / "performance.json").write_text(json.dumps({"loss": loss}))
    (target / "skew.json").write_text(json.dumps({"differences": 3}))


def test_nothing_to_see_is_told_and_no_error(tmp_path: Path) -> None:
    found = gather(places(tmp_path))
    assert not found.reachable and not found.ready and not found.window_checked
    notes = " ".join(found.notes)
    assert "no server of this machine" in notes and "nothing was logged" in notes and "no window" in notes
    assert 0 < found.disk_free < 1, "of the nearest folder that is there"


def test_real_server_is_asked(tmp_path: Path) -> None:
    with running(
        tmp_path, make_package(tmp_path / "package"), "1", "--name", "tiny", "--workers", "1"
    ) as server:
        for _ in range(3):
            server.client.predict(png(200))
        with pytest.raises(RequestRejected):
            server.client.predict(b"no image")
        found = gather(places(tmp_path))
        assert found.reachable and found.ready and found.serving == "1" and found.computed == 3
        assert sum(found.refused.values()) == 1 and found.queue == 0
        state = server.state_file.read_text()
    (tmp_path / "server.json").write_text(state)  # as a killed server leaves it
    assert not gather(places(tmp_path)).reachable


def test_log_is_split_into_now_and_before(serve: Serve, tmp_path: Path) -> None:
    log = serve(pictures(20, 1), fail=2)
    next(log.glob("served*")).rename(log / "served-of-another-process.parquet")
    serve(pictures(30, 2), at=time.time() - 3600)
    found = gather(places(tmp_path), minutes=30)
    assert [(one.version, one.answered, one.failed) for one in found.recent] == [("1", 20, 2)]
    assert [(one.answered, one.latency_p95_ms) for one in found.before] == [(30, 1.5)]
    assert any("failed on version 1: broken" in sample.why for sample in found.samples)
    assert any("with confidence" in sample.why for sample in found.samples)


def test_damaged_log_is_a_note(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "served-1.parquet").write_bytes(b"no")
    assert any("cannot be read" in note for note in gather(places(tmp_path)).notes)


def test_damaged_file_of_the_log_hides_no_other(serve: Serve, tmp_path: Path) -> None:
    log = serve(pictures(20, 1))
    (log / "served-1.parquet").write_bytes(b"no")
    found = gather(places(tmp_path))
    assert [one.answered for one in found.recent] == [20]
    assert any("served-1.parquet: this file" in note for note in found.notes)


def seen(folder: Path, champion: str | None = "1") -> Symptoms:
    return gather(places(folder, champion))


def test_newest_window_of_the_champion_counts(tmp_path: Path) -> None:
    write_window(tmp_path)
    write_window(tmp_path, end="2026-03-01T11")
    (tmp_path / "windows/tiny/1/2026-03-01T11/skew.json").write_text('{"differences": 99}')
    found = seen(tmp_path)
    assert found.window_checked and found.skew_differences == 3
    assert [text.split(",")[0] for text in found.input_drift] == ["brightness", "contrast"]
    assert [text.split(",")[0] for text in found.output_drift] == ["classes"]
    assert found.loss is not None and found.loss.low == 0.05
    assert {"sample a", "sample b"} <= {sample.name for sample in found.samples}


def test_windows_of_other_models_and_versions_say_nothing(tmp_path: Path) -> None:
    write_window(tmp_path, model="other")
    write_window(tmp_path, version="2")
    assert not seen(tmp_path).window_checked
    assert seen(tmp_path, "2").window_checked and seen(tmp_path, None).window_checked


def test_audit_that_failed_without_a_difference_is_no_proof_that_nothing_differs(tmp_path: Path) -> None:
    write_window(tmp_path)
    report = tmp_path / "windows/tiny/1/2026-03-01T12/skew.json"
    nothing = {
        "verdict": "fail",
        "compared": 0,
        "differences": 0,
        "libraries": [],
        "notes": ["none was kept"],
    }
    report.write_text(json.dumps(nothing))
    found = seen(tmp_path)
    assert found.skew_differences is None and found.skew_uncompared == "none was kept"
    report.write_text(json.dumps({**nothing, "compared": 9, "libraries": ["pillow 9 served 60 rows"]}))
    found = seen(tmp_path)
    assert (found.skew_differences, found.skew_libraries) == (0, ("pillow 9 served 60 rows",))
    assert not found.skew_uncompared


def test_damaged_record_is_a_note(tmp_path: Path) -> None:
    write_window(tmp_path)
    for name in ("performance.json", "skew.json"):
        (tmp_path / "windows/tiny/1/2026-03-01T12" / name).write_text("{")
    found = seen(tmp_path)
    assert found.window_checked and found.loss is None
    assert sum("cannot be read" in note for note in found.notes) == 2


def open_places(folder: Path, package: Path, least: int = 300) -> Places:
    config = MonitoringConfig(min_rows=least)
    return replace(places(folder), package=package, monitoring=config)


def test_window_that_is_still_open_is_judged(champion: Path, serve: Serve, tmp_path: Path) -> None:
    """Issue 20: after 300 grossly drifted requests `linnet diagnose` said that nothing is wrong."""
    serve(pictures(300, 3, low=20, high=40))
    found = gather(open_places(tmp_path, champion))
    assert found.window_checked and any("brightness" in one for one in found.input_drift)
    verdict = diagnose(found.model_copy(update={"reachable": True, "ready": True, "serving": "1"}),
                       ServiceLevelsConfig(), RetrainingConfig())  # fmt: skip
    assert verdict.verdict == "data"


def test_open_window_outweighs_a_closed_one(champion: Path, serve: Serve, tmp_path: Path) -> None:
    write_window(tmp_path)
    serve(pictures(400, 3))
    found = gather(open_places(tmp_path, champion))
    assert not found.input_drift and any("brightness" in one for one in found.earlier_drift)


def test_open_window_tells_which_files_it_lacks(champion: Path, serve: Serve, tmp_path: Path) -> None:
    """Labels in a damaged file looked as if none had come, and a file of the log as if nobody had asked."""
    log = serve(pictures(40, 3))
    for name in ("served-20990101T000000-1-000001.parquet", "feedback-20260101T000000-1-000001.parquet"):
        (log / name).write_bytes(b"damaged")
    told = [
        note for note in gather(open_places(tmp_path, champion)).notes if note.startswith("the log's file")
    ]
    assert len(told) == 2 and "served-2099" in told[0] and "feedback-2026" in told[1]


def test_open_window_with_too_little_in_it_is_unknown(champion: Path, serve: Serve, tmp_path: Path) -> None:
    serve(pictures(40, 3, low=20, high=40))
    found = gather(open_places(tmp_path, champion))
    assert not found.window_checked and not found.input_drift
    assert any("holds 40 images" in note and "--minutes" in note for note in found.notes)


def test_traffic_that_is_too_thin_is_looked_at_further_back(
    champion: Path, serve: Serve, tmp_path: Path
) -> None:
    """Half an hour holds too little; the open window, which is longer, holds enough."""
    at = datetime(2026, 3, 1, 12, 50, tzinfo=UTC)
    log = serve(pictures(200, 3, low=20, high=40), at=at.timestamp() - 60)
    next(log.glob("served*")).rename(log / "served-of-another-process.parquet")
    serve(pictures(200, 4, low=20, high=40), at=at.timestamp() - 40 * 60)
    found = judge_open_window(
        log, "tiny", "1", champion, MonitoringConfig(), timedelta(minutes=30), at
    )  # fmt: skip
    assert found.drift.window.rows == 400 and found.drift.verdict == "drift"


def test_open_window_reads_several_classes_an_image_as_a_closed_one_does(
    champion: Path, serve: Serve, tmp_path: Path
) -> None:
    """It took them for classes that exclude each other: `linnet diagnose` told of a drift that was none."""
    package, config, known = tmp_path / "several", MonitoringConfig(), Reference.load(champion)
    thresholds = (0.05,) * len(known.classes)
    said = Predictor.load("1", champion, 1).predict(pictures(400, 5), None).output
    named = answer_of("multilabel", known.classes, thresholds).named(said).sum(axis=0, dtype=np.int64)
    shutil.copytree(champion, package)
    none = np.zeros((0, 0), np.int64)
    several = replace(known, task="multilabel", thresholds=thresholds, confusion=none, named=named)
    several.save(package / REFERENCE_FILE)
    log, end = serve(pictures(400, 3)), datetime.now(UTC) + timedelta(seconds=5)
    opened = judge_open_window(log, "tiny", "1", package, config, timedelta(hours=1), end).drift
    window_of(log, tmp_path / "window", config)
    closed = measure_drift(tmp_path / "window", package, config, [], tmp_path / "out")
    effects = [
        {test.name: test.effect for test in report.tests if test.name in ("classes", "confidence")}
        for report in (opened, closed)
    ]
    assert len(effects[0]) == 2 and effects[0] == effects[1]
