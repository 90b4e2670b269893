"""Boxes from the training set to drift: trained, judged, packaged, answered, replayed, logged and watched."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import torch

from linnet.artifacts.onnx_model import PackagedModel
from linnet.artifacts.reference import Reference
from linnet.config import EvaluationConfig, GatesConfig, MonitoringConfig, ServingConfig, TrainConfig
from linnet.deployment.pace import Pace
from linnet.deployment.replay import Replayer, Traffic
from linnet.evaluation.evaluate import evaluate
from linnet.labels.candidates import read_candidates
from linnet.labels.select import select
from linnet.monitoring.measure import measure_drift
from linnet.monitoring.window import write_window
from linnet.packaging.package import build_package, judge_package
from linnet.records import SPLITS, EvaluationReport, TrainingSetManifest
from linnet.serving.log import LogEntry, PredictionLog
from linnet.serving.predictor import Predictor
from linnet.tasks.detection.boxes import Box, boxes_of, text_of
from linnet.tasks.detection.target import TARGET
from linnet.training.train import train
from linnet.vision.statistics import FEATURES, brightness_cohort, brightness_edges, image_statistics
from tests.serving.running import running

pytestmark = pytest.mark.slow

CLASSES = ("bright", "dark")
SIDE = 32
SIZES = {"train": 240, "validation": 60, "test": 120, "production": 60}
GATES = GatesConfig(
    min_accuracy=0.5, min_macro_f1=0.5, min_map=0.2, min_map50=0.5, max_miss_rate=0.5,
    max_false_positives=1.0, min_worst_recall=0.3, max_ece=0.3, max_cohort_gap=0.5, max_latency_p95_ms=60_000,
)  # fmt: skip


def picture(rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """A gray square, on which a bright and a dark rectangle may lie; uint8 [32, 32, 1] and its label."""
    image = rng.normal(120, 12, (SIDE, SIDE, 1))
    boxes = []
    for name, value, start in (("bright", 235, 0), ("dark", 15, SIDE // 2)):
        if rng.random() < 0.8:
            left, top = start + rng.integers(0, 5), rng.integers(1, 16)
            right, bottom = left + rng.integers(7, 11), top + rng.integers(7, 15)
            image[top:bottom, left:right] = value
            boxes.append(Box(name, left / SIDE, top / SIDE, right / SIDE, bottom / SIDE))
    return image.clip(0, 255).astype(np.uint8), text_of(boxes)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def training_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boxes") / "set"
    folder.mkdir()
    for seed, split in enumerate(SPLITS):
        rng = np.random.default_rng(seed)
        images, labels = zip(*(picture(rng) for _ in range(SIZES[split])), strict=True)
        features = image_statistics(np.stack(images))
        bright = features[:, FEATURES.index("brightness")]
        np.save(folder / f"images-{split}.npy", np.stack(images))
        np.save(folder / f"labels-{split}.npy", TARGET.encode(labels, CLASSES, SIDE, SIDE))
        np.save(folder / f"features-{split}.npy", features)
        np.save(folder / f"ids-{split}.npy", np.array([f"{seed}{n:031d}" for n in range(len(labels))], "S32"))
        cohort = brightness_cohort(bright, brightness_edges(bright))
        np.savez(folder / f"cohorts-{split}.npz", brightness=cohort)
    TrainingSetManifest(
        task="detection", classes=CLASSES, features=FEATURES, feature_service="made_v1", height=SIDE,
        width=SIDE, channels=1, dataset_digest="d", labels_digest="l", counts=SIZES,
    ).save(folder / "training_set.json")  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def package(training_set: Path) -> Path:
    model, evaluation, folder = (training_set.parent / name for name in ("model", "evaluation", "package"))
    config = TrainConfig(
        epochs=12, batch_size=24, width=8, optimizer="adamw", learning_rate=0.01, schedule="cosine", shift=2,
        label_smoothing=0.0,
    )  # fmt: skip
    train(training_set, config, model, training_set.parent / "work")
    report, decision = evaluate(model, training_set, EvaluationConfig(resamples=100), GATES, evaluation)
    assert decision.verdict == "pass", decision.reasons
    assert {gate.name for gate in decision.gates} == {
        "accuracy", "macro_f1", "map", "map50", "miss_rate", "false_positives", "worst_recall", "ece",
        "cohort_gap",
    }  # fmt: skip
    assert report.metrics["map"].low < report.metrics["map"].value < report.metrics["map50"].value
    page = (evaluation / "report.html").read_text("utf-8")
    assert "mAP 50" in page and "Miss rate" in page and "(green)" in page and "[[" not in page
    serving = ServingConfig(workers=1)
    samples = build_package(model, evaluation, training_set, GATES.min_parity, serving, "boxes", folder)
    packed, verdict = judge_package(model, evaluation, training_set, GATES, samples, folder)
    assert verdict.verdict == "pass", verdict.reasons
    assert packed.task == "detection" and packed.parity_max_difference < 1e-3
    return folder


def test_boxes_are_answered_replayed_logged_and_asked_about(
    training_set: Path, package: Path, tmp_path: Path
) -> None:
    images = np.load(training_set / "images-production.npy")
    predictor = Predictor.load("1", package)
    said = predictor.predict(images, None)
    one = predictor.answer.listed(said.output[0])
    assert all(set(box) == {"class", "probability", "box"} and len(box["box"]) == 4 for box in one)
    traffic = Traffic.of_training_set(training_set)
    with (
        running(tmp_path / "server", package) as server,
        Replayer(server.state.url, "boxes", traffic, Pace(40.0)) as sent,
    ):
        time.sleep(3.0)
        outcomes = sent.outcomes()
    scores = [one.correct for one in outcomes if one.correct is not None]
    assert len(scores) > 5 and np.mean(scores) > 0.5

    log = PredictionLog(tmp_path / "log", 1000, image_share=1.0)
    log.start()
    began = datetime.now(UTC)
    for n in range(len(images)):
        part = predictor.predict(images[n : n + 1], None)
        log.offer(LogEntry(f"r{n}", time.time(), "boxes", "1", predictor.answer, 1.0, part, None))
    log.close()
    config = MonitoringConfig(min_rows=20)
    end = datetime.now(UTC) + timedelta(minutes=1)
    window = write_window(
        tmp_path / "log", "boxes", "1", began - timedelta(minutes=1), end, config, tmp_path / "w"
    )
    assert window.rows == len(images)
    report = measure_drift(tmp_path / "w", package, config, [], tmp_path / "drift")
    tested = {test.name for test in report.tests}
    assert {"objects", "object_size", "confidence", "classes"} <= tested
    assert not [test.name for test in report.tests if test.drifted]
    assert Reference.load(package).scalars == ("objects", "object_size")

    evaluation = training_set.parent / "evaluation"
    evaluated = EvaluationReport.load(evaluation / "evaluation.json")
    known = {
        key.decode(): "[]" for split in SPLITS for key in np.load(training_set / f"ids-{split}.npy").tolist()
    }
    pool = read_candidates(evaluation, evaluated, known, "boxes").pool
    assert len(select(pool, 20)) == 20


def test_boxes_that_shrink_in_production_are_seen(training_set: Path, package: Path, tmp_path: Path) -> None:
    """Objects half as wide: the sizes drift, whatever the classes do."""
    rng = np.random.default_rng(9)
    images = np.stack([picture(rng)[0] for _ in range(120)])
    small = images.copy()
    small[:, :, 5:14], small[:, :, 20:] = 120, 120
    model = PackagedModel.load(package)
    reference = Reference.load(package)
    before = reference.watched(model.predict(images)[0])
    after = reference.watched(model.predict(small)[0])
    assert np.nanmean(after["object_size"]) < np.nanmean(before["object_size"]) or (
        after["objects"].mean() < before["objects"].mean()
    )
    labels = model.answer.labels(model.predict(images)[0])
    assert max(len(boxes_of(label)) for label in labels) >= 2
