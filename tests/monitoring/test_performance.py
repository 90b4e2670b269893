"""Accuracy with and without labels, and when the estimate is called unproven."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from linnet.artifacts.reference import Reference, SortedSample
from linnet.config import MonitoringConfig
from linnet.monitoring.given_labels import Labels
from linnet.monitoring.measure import compare_with_reference, measure_drift
from linnet.monitoring.performance import (
    compare_confusion,
    difference,
    estimate_accuracy,
    judge,
    measure_performance,
)
from linnet.monitoring.window import Rows
from linnet.records import DriftReport, Interval, PerformanceReport
from linnet.vision.decode import sample_id
from linnet.vision.statistics import FEATURES
from tests.monitoring.conftest import Serve, pictures, truth, window_of
from tests.serving.packages import CLASSES

CONFIG = MonitoringConfig(min_rows=200)


def judged(
    champion: Path, log: Path, tmp: Path, feedback: Labels | None = None, drift: DriftReport | None = None
) -> PerformanceReport:
    window = window_of(log, tmp / "window", CONFIG)
    rows = Rows.load(tmp / "window", len(FEATURES), len(CLASSES))
    reference = Reference.load(champion)
    found = drift or compare_with_reference(window, rows, reference, None, CONFIG)
    return judge(window, rows, reference, feedback or {}, found, CONFIG)


def labels_of(images: np.ndarray, count: int, late: float = 600.0, turn: int = 0) -> Labels:
    at = datetime.now(UTC) + timedelta(seconds=late)
    right = truth(images)
    return {
        (f"r{i}", 0, sample_id(images[i])): (CLASSES[(right[i] + turn) % len(CLASSES)], at)
        for i in range(count)
    }


def test_labels_give_accuracy_delay_and_confusion(champion: Path, serve: Serve, tmp_path: Path) -> None:
    images = pictures(400, 9)
    report = judged(champion, serve(images), tmp_path, labels_of(images, 300))
    assert report.labelled == 300 and sum(map(sum, report.confusion)) == 300
    assert report.delay_p50_seconds == pytest.approx(600, abs=60)
    assert report.accuracy is not None and report.accuracy.low < report.accuracy.value
    assert report.accuracy.value > 0.9 and set(report.cohorts) <= set(CLASSES)
    assert report.loss is not None and report.loss.low < 0.05


def test_damaged_labels_are_a_note_and_the_others_count(champion: Path, serve: Serve, tmp_path: Path) -> None:
    log = serve(pictures(300, 9))
    good = {"request_id": "r1", "label": "dark", "at": datetime.now(UTC).isoformat()}
    (log / "feedback-1.jsonl").write_text(json.dumps(good) + "\n{\n")
    (log / "feedback-2.parquet").write_bytes(b"no")
    window = window_of(log, tmp_path / "window", CONFIG)
    drift = measure_drift(tmp_path / "window", champion, CONFIG, (), tmp_path / "drift")
    report = measure_performance(tmp_path / "window", champion, log, drift, CONFIG, tmp_path / "out")
    assert window.rows == 300 and report.labelled == 1
    lines, file = report.notes
    assert "feedback-1.jsonl: 1 rows cannot be read" in lines and "feedback-2.parquet" in file


def test_labels_of_other_requests_and_of_new_classes_do_no_harm(
    champion: Path, serve: Serve, tmp_path: Path
) -> None:
    at = datetime.now(UTC)
    images = pictures(300, 9)
    first, second = sample_id(images[1]), sample_id(images[2])
    odd: Labels = {("nobody", 0, first): ("dark", at), ("r1", 0, first): ("purple", at)}
    odd |= {("r2", 7, second): ("dark", at), ("r3", 0, second): ("dark", at)}
    report = judged(champion, serve(images), tmp_path, odd)
    assert report.labelled == 0 and report.accuracy is None
    assert any("1 labels that came name no class" in doubt for doubt in report.doubts)


def test_concept_drift_shows_in_labels_and_contradicts_the_estimate(
    champion: Path, serve: Serve, tmp_path: Path
) -> None:
    images = pictures(400, 9)
    report = judged(champion, serve(images), tmp_path, labels_of(images, 400, turn=1))
    assert report.accuracy is not None and report.accuracy.high < 0.2
    assert not report.estimate_holds and any("contradict" in doubt for doubt in report.doubts)
    assert {one.label for one in report.confusion_drift if one.drifted} == set(CLASSES)
    assert report.loss is not None and report.loss.low > 0.7


def test_estimate_is_unproven_without_embeddings_or_under_drift(
    champion: Path, serve: Serve, tmp_path: Path
) -> None:
    plain = judged(champion, serve(pictures(400, 9)), tmp_path)
    assert [doubt for doubt in plain.doubts if "embeddings were not compared" in doubt]
    moved = judged(champion, serve((pictures(400, 9) * 0.5).astype(np.uint8)), tmp_path)
    assert any("not like those the confidence was calibrated on" in doubt for doubt in moved.doubts)
    assert moved.loss is None, "an unproven estimate proves no loss"


def calibrated(rng: np.random.Generator, count: int, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Confidence [count] and whether each is right, with exactly that probability."""
    sure = 0.5 + 0.5 * rng.beta(level, 1.5, count)
    return sure, rng.random(count) < sure


@pytest.mark.parametrize("level", [4.0, 1.5])
def test_estimate_covers_the_truth_as_often_as_it_says_also_for_harder_images(
    champion: Path, level: float
) -> None:
    rng, covered, base = np.random.default_rng(1), 0, Reference.load(champion)
    for _ in range(200):
        held, right = calibrated(rng, 1500, 4.0)
        columns = (*base.columns[:-1], SortedSample.of(held))
        reference = replace(base, columns=columns, accuracy=float(right.mean()), held_out=1500)
        window, correct = calibrated(rng, 400, level)
        estimate = estimate_accuracy(window, reference, 0.9)
        covered += estimate.low <= correct.mean() <= estimate.high
    assert 170 <= covered <= 200


def test_difference_is_newcombes_published_example() -> None:
    # Newcombe (1998), table II: 56/70 against 48/80, method 10.
    first = Interval(value=0.8, low=0.6918, high=0.8769)  # Wilson, as the paper gives them
    second = Interval(value=0.6, low=0.4904, high=0.7003)
    found = difference(first, second)
    assert (round(found.value, 4), round(found.low, 3), round(found.high, 3)) == (0.2, 0.052, 0.334)


def test_confusion_like_the_references_is_not_called_drift(champion: Path) -> None:
    reference = Reference.load(champion)
    rng = np.random.default_rng(0)
    rows = [rng.multinomial(200, row / row.sum()) for row in reference.confusion]
    assert not any(one.drifted for one in compare_confusion(np.stack(rows), reference, CONFIG))
    swapped = np.stack([rows[1], rows[1], rows[2], rows[3]])
    assert [one.label for one in compare_confusion(swapped, reference, CONFIG) if one.drifted] == ["dark"]
