"""A window against the reference: what is found, what is not, and what is admitted."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from linnet.artifacts.reference import Reference
from linnet.commands.drift_show import show_drift
from linnet.config import MonitoringConfig
from linnet.errors import StorageError
from linnet.monitoring import measure
from linnet.monitoring.history import keep, past_p_values, past_reports
from linnet.monitoring.measure import measure_drift
from linnet.monitoring.performance import measure_performance
from linnet.records import DriftReport
from linnet.records.prediction_log import served_files
from linnet.vision.decode import encode_png
from tests.monitoring.conftest import Serve, pictures, window_of
from tests.serving.packages import make_package

CONFIG = MonitoringConfig(min_rows=200)


def drift_of(
    champion: Path, log: Path, tmp: Path, past: tuple[float, ...] = (), config: MonitoringConfig = CONFIG
) -> DriftReport:
    window_of(log, tmp / "window", config)
    return measure_drift(tmp / "window", champion, config, past, tmp / "out")


def test_traffic_like_the_reference_is_stable(champion: Path, serve: Serve, tmp_path: Path) -> None:
    report = drift_of(champion, serve(pictures(600, 77)), tmp_path)
    assert report.verdict == "stable" and report.p_value > report.level
    assert {test.kind for test in report.tests} == {"feature", "output", "embedding"}
    assert DriftReport.load(tmp_path / "out" / "drift.json") == report


def test_file_of_the_log_that_cannot_be_read_is_told_by_the_report(
    champion: Path, serve: Serve, tmp_path: Path
) -> None:
    log = serve(pictures(20, 1))
    (log / "served-20990101T000000-1-000001.parquet").write_bytes(b"PAR1 no")
    report = drift_of(champion, log, tmp_path)
    assert report.notes[-1].startswith("damaged, left out: served-20990101T000000-1-000001.parquet")
    assert DriftReport.load(tmp_path / "out" / "drift.json") == report


def test_terminal_counts_the_quantities_that_it_leaves_out(
    champion: Path, serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = drift_of(champion, serve(pictures(200, 77)), tmp_path)
    performance = measure_performance(
        tmp_path / "window", champion, tmp_path / "log", report, CONFIG, tmp_path / "performance"
    )
    show_drift(report, performance, tmp_path)
    assert f"and {len(report.tests) - 8} more, 0 of them drifted" in capsys.readouterr().out


def test_darker_traffic_drifts_in_features_classes_and_embedding(
    champion: Path, serve: Serve, tmp_path: Path
) -> None:
    report = drift_of(champion, serve((pictures(600, 5) * 0.6).astype(np.uint8)), tmp_path)
    assert report.verdict == "drift" and report.p_value <= report.level
    drifted = {test.name for test in report.drifted}
    assert {"brightness", "p50", "classes", "embedding"} <= drifted
    assert len(report.reasons) == len(report.drifted)
    assert report.drifted[0].severity == max(test.severity for test in report.tests if test.drifted)


def test_drift_of_one_cohort_that_the_whole_hides_is_found(
    champion: Path, serve: Serve, tmp_path: Path
) -> None:
    images = pictures(1500, 6)
    dark = np.flatnonzero(images.mean(axis=(1, 2, 3)) < 60)
    flat = images[dark].mean(axis=(1, 2, 3), keepdims=True).astype(np.uint8)
    images[dark] = np.broadcast_to(flat, images[dark].shape)
    config = CONFIG.model_copy(update={"min_ks": 0.45, "min_embedding_auc": 0.95})
    report = drift_of(champion, serve(images), tmp_path, config=config)
    cohorts = {(cohort.cohort, cohort.value) for cohort in report.cohorts if cohort.drifted}
    assert ("class", "dark") in cohorts
    assert ("class", "white") not in cohorts
    assert report.verdict == "drift" and not report.drifted


def test_small_but_certain_change_is_no_drift(champion: Path, serve: Serve, tmp_path: Path) -> None:
    report = drift_of(champion, serve(pictures(4000, 8, low=28)), tmp_path)
    brightness = next(test for test in report.tests if test.name == "brightness")
    assert brightness.effect < CONFIG.min_ks and not brightness.drifted


def test_window_of_too_few_rows_has_no_verdict(champion: Path, serve: Serve, tmp_path: Path) -> None:
    report = drift_of(champion, serve(pictures(150, 5, high=60)), tmp_path)
    assert report.verdict == "insufficient" and report.tests == () and report.p_value == 1.0
    assert "150 images are too few" in report.notes[0]


def test_without_kept_images_the_report_says_so(champion: Path, serve: Serve, tmp_path: Path) -> None:
    report = drift_of(champion, serve(pictures(300, 5), share=0.0), tmp_path)
    assert "embedding" not in {test.name for test in report.tests}
    assert "serving.log_sample" in report.notes[0]


def test_kept_images_that_are_not_what_the_model_saw_are_counted(
    champion: Path, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part of the evidence was missing from the test of embeddings, and nothing said how much."""
    log, plain, seen = serve(pictures(300, 5)), measure.kept_pixels, [0]

    def damaged(encoded: bytes | None) -> Any:
        seen[0] += 1
        return None if seen[0] <= 7 else plain(encoded)

    monkeypatch.setattr(measure, "kept_pixels", damaged)
    report = drift_of(champion, log, tmp_path)
    (note,) = report.notes
    assert re.match(r"embeddings are of \d+ kept images: 7 more are damaged, redacted or resized", note)


def test_model_of_many_classes_says_which_it_watches_one_by_one(
    champion: Path, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, load = serve(pictures(300, 5)), measure.Reference.load

    def fewer(folder: Path) -> Any:
        found = load(folder)
        (first, *_) = (one for one in found.cohorts if one.column == "class")
        return replace(found, cohorts=(first,))

    monkeypatch.setattr(measure.Reference, "load", fewer)
    (note,) = drift_of(champion, log, tmp_path).notes
    assert re.match(r"1 of \d+ classes are watched as groups of their own", note)


def test_redacted_images_are_not_taken_for_drift(
    champion: Path, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blank = encode_png(np.zeros((8, 8, 1), np.uint8))
    monkeypatch.setattr("linnet.serving.log.encode_png", lambda _: blank)
    report = drift_of(champion, serve(pictures(300, 5)), tmp_path)
    assert "embeddings were not compared" in report.notes[0]
    assert report.verdict == "stable"


def test_strangest_images_are_named(champion: Path, serve: Serve, tmp_path: Path) -> None:
    from linnet.vision.decode import sample_id

    images = pictures(500, 5)
    odd = np.random.default_rng(0).integers(0, 2, (60, 8, 8, 1)).astype(np.uint8) * 255
    images[:60] = odd
    report = drift_of(champion, serve(images), tmp_path)
    planted = {sample_id(image) for image in odd}
    assert len(planted & set(report.samples[:60])) >= 40  # 7 by chance


def test_level_comes_from_the_windows_before(champion: Path, serve: Serve, tmp_path: Path) -> None:
    log = serve(pictures(300, 5))
    first = drift_of(champion, log, tmp_path)
    later = drift_of(champion, log, tmp_path, past=(0.5,) * 30)
    earned = drift_of(champion, log, tmp_path, past=(*(0.5,) * 29, 1e-12))
    assert later.level < first.level and later.level < earned.level


def test_history_keeps_records_and_forgets_rows(champion: Path, serve: Serve, tmp_path: Path) -> None:
    report = drift_of(champion, serve(pictures(300, 5)), tmp_path)
    kept = keep(report.window, tmp_path / "window", tmp_path / "out")
    assert {path.name for path in kept.iterdir()} == {"window.json", "drift.json", "libraries.json"}
    assert past_reports("tiny", "1") == [report]
    assert past_p_values("tiny", "1", report.window.end) == [report.p_value]
    assert past_p_values("tiny", "1", report.window.start) == []
    assert past_p_values("tiny", "2", report.window.end) == []


def test_damaged_earlier_window_stops_no_later_one_and_is_told(
    champion: Path, serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    report = drift_of(champion, serve(pictures(300, 5)), tmp_path)
    kept = keep(report.window, tmp_path / "window", tmp_path / "out")
    (kept.with_name("20200101T000000")).mkdir()
    (kept.with_name("20200101T000000") / "drift.json").write_text("{")
    assert past_reports("tiny", "1") == [report]
    assert "an earlier window is left out" in caplog.text and "20200101T000000" in caplog.text


def test_folder_of_the_log_that_cannot_be_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its rows were left out of every window without a word."""
    for name in ("a/served-1.parquet", "b/served-2.parquet", "b/feedback-1.parquet"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    scan = os.scandir

    def refuse(path: Any) -> Any:
        if Path(path).name == "a":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert list(served_files(tmp_path)) == [tmp_path / "b" / "served-2.parquet"]
    assert f"its rows are left out: [Errno 13] Permission denied: '{tmp_path / 'a'}'" in caplog.text


def test_package_without_a_reference_is_one_error(serve: Serve, tmp_path: Path) -> None:
    old = make_package(tmp_path / "old")
    window_of(serve(pictures(300, 5)), tmp_path / "window")
    with pytest.raises(StorageError, match="no reference to compare with"):
        measure_drift(tmp_path / "window", old, CONFIG, (), tmp_path / "out")


def test_reference_comes_back_as_it_was_saved_and_bytes_are_equal(champion: Path, tmp_path: Path) -> None:
    reference = Reference.load(champion)
    reference.save(tmp_path / "reference.npz")
    assert (tmp_path / "reference.npz").read_bytes() == (champion / "reference.npz").read_bytes()
    assert reference.rows == 4000 and reference.held_out == 2000
    assert [len(sample.points) for sample in reference.columns] == [2048] * 12 + [2000]


def test_damaged_reference_is_one_error(champion: Path, tmp_path: Path) -> None:
    (tmp_path / "reference.npz").write_bytes((champion / "reference.npz").read_bytes()[:-400])
    with pytest.raises(StorageError, match="cannot be read"):
        Reference.load(tmp_path)
