"""A class a pixel from the training set to drift: trained, judged, packaged, answered, watched."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linnet.artifacts.reference import Reference
from linnet.config import EvaluationConfig, GatesConfig, MonitoringConfig, ServingConfig, TrainConfig
from linnet.deployment.pace import Pace
from linnet.deployment.replay import Replayer, Traffic
from linnet.errors import ConfigError, RequestRejected
from linnet.evaluation.evaluate import evaluate
from linnet.monitoring.measure import measure_drift
from linnet.monitoring.performance import measure_performance
from linnet.monitoring.window import write_window
from linnet.packaging.package import build_package, judge_package
from linnet.records import SPLITS, TrainingSetManifest
from linnet.serving.feedback import parse_feedback
from linnet.serving.log import LogEntry, PredictionLog
from linnet.serving.predictor import Predictor
from linnet.tasks.agree import agreement_of
from linnet.tasks.model import load_network
from linnet.tasks.target import target_of
from linnet.training.train import train
from linnet.vision.decode import encode_png
from linnet.vision.networks import save_model
from linnet.vision.statistics import FEATURES, brightness_cohort, brightness_edges, image_statistics
from tests.serving.running import running
from tests.tasks.feedback_file import write_feedback
from tests.tasks.segmentation.scenes import CLASSES, maps

pytestmark = pytest.mark.slow

TASK, SIDE = "segmentation", 32
SIZES = {"train": 240, "validation": 60, "test": 120, "production": 60}
GATES = GatesConfig(
    min_accuracy=0.6, min_macro_f1=0.7, min_mean_iou=0.6, max_ece=0.1, max_latency_p95_ms=60_000
)
CONFIG = TrainConfig(
    epochs=5, batch_size=16, width=16, learning_rate=0.1, label_smoothing=0.0, flip=True, shift=2
)


def pictures(truth: np.ndarray, seed: int) -> np.ndarray:
    """Noise in which each class has a color of its own; uint8 [N, H, W, 3]."""
    rng = np.random.default_rng(seed)
    colors = np.array([[70, 70, 70], [190, 60, 60], [60, 190, 60], [60, 60, 190]])
    return (colors[truth] + rng.normal(0, 25, (*truth.shape, 3))).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def training_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("masks") / "set"
    folder.mkdir()
    for seed, split in enumerate(SPLITS):
        labels = maps(SIZES[split], SIDE, seed)
        images = pictures(labels, seed)
        features = image_statistics(images)
        bright = features[:, FEATURES.index("brightness")]
        np.save(folder / f"images-{split}.npy", images)
        np.save(folder / f"labels-{split}.npy", labels)
        np.save(folder / f"features-{split}.npy", features)
        np.save(folder / f"ids-{split}.npy", np.array([f"{seed}{n:031d}" for n in range(len(labels))], "S32"))
        cohort = brightness_cohort(bright, brightness_edges(bright))
        np.savez(folder / f"cohorts-{split}.npz", brightness=cohort)
    TrainingSetManifest(
        task=TASK, classes=CLASSES, features=FEATURES, feature_service="made_v1", height=SIDE, width=SIDE,
        channels=3, dataset_digest="d", labels_digest="l", counts=SIZES,
    ).save(folder / "training_set.json")  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def model(training_set: Path) -> Path:
    folder = training_set.parent / "model"
    report = train(training_set, CONFIG, folder, training_set.parent / "work")
    assert report.history[-1]["validation_accuracy"] > 0.7
    return folder


@pytest.fixture(scope="module")
def package(training_set: Path, model: Path) -> Path:
    evaluation, folder = training_set.parent / "evaluation", training_set.parent / "package"
    report, decision = evaluate(model, training_set, EvaluationConfig(resamples=200), GATES, evaluation)
    assert decision.verdict == "pass", decision.reasons
    names = {gate.name for gate in decision.gates}
    assert names == {"accuracy", "macro_f1", "mean_iou", "worst_recall", "ece", "cohort_gap"}
    assert {row.value for row in report.cohorts if row.cohort == "class"} == set(CLASSES)
    page = (evaluation / "report.html").read_text("utf-8")
    assert "Mean IoU" in page and "Outline error" in page and "Confusion matrix" not in page
    samples = build_package(
        model, evaluation, training_set, GATES.min_parity, ServingConfig(workers=1), "masks", folder
    )
    packed, verdict = judge_package(model, evaluation, training_set, GATES, samples, folder)
    assert verdict.verdict == "pass", verdict.reasons
    assert packed.task == TASK and packed.parity_agreement > 0.9999
    return folder


def test_eroded_model_is_refused_against_its_champion(
    training_set: Path, model: Path, package: Path, tmp_path: Path
) -> None:
    import torch

    config = EvaluationConfig(resamples=100)
    same, passed = evaluate(model, training_set, config, GATES, tmp_path / "same", package, "1")
    assert passed.verdict == "pass" and same.comparison is not None
    assert abs(same.comparison.difference.value) < 1e-3 and same.comparison.agreement > 0.999
    network = load_network(model, TASK)
    with torch.no_grad():
        network.head.bias[0] += 2.0  # background wins where a mask ends
    save_model(tmp_path / "worse", network)
    lenient = GatesConfig(
        min_accuracy=0.0,
        min_macro_f1=0.0,
        min_mean_iou=0.0,
        min_worst_recall=0.0,
        max_ece=1.0,
        max_cohort_gap=1.0,
    )
    _, decision = evaluate(tmp_path / "worse", training_set, config, lenient, tmp_path / "out", package, "1")
    assert decision.verdict == "fail"
    assert {gate.name for gate in decision.gates if not gate.passed} == {"non_inferiority"}


@pytest.fixture(scope="module")
def served(package: Path) -> Iterator[Predictor]:
    yield Predictor.load("1", package, 1)


def test_server_answers_masks_that_fit_the_truth(training_set: Path, served: Predictor) -> None:
    images, truth = (np.load(training_set / f"{name}-test.npy") for name in ("images", "labels"))
    said = served.predict(images, None).output
    labels = served.answer.labels(said)
    pairs = zip(labels, truth, strict=True)
    scores = [agreement_of(TASK)(one, target_of(TASK).decode(row, CLASSES)) for one, row in pairs]
    assert np.mean(scores) > 0.7
    for row in range(6):
        listed = served.answer.listed(said[row])
        assert agreement_of(TASK)(served.answer.said(listed), labels[row]) == 1
        assert served.answer.off(listed, said[row]) == 0
    packed = served.answer.packed(said)
    ends = np.cumsum([len(one) for one in packed])
    again = served.answer.unpacked(np.concatenate(packed), ends)
    assert served.answer.labels(again) == labels
    for asked in (served.answer.confidence, served.answer.by_class, served.answer.named):
        np.testing.assert_allclose(asked(again), asked(said), atol=1e-5)
    assert sum(map(len, packed)) < said.size / 3


def test_replayed_traffic_scores_every_answer(training_set: Path, package: Path, tmp_path: Path) -> None:
    traffic = Traffic.of_training_set(training_set)
    with (
        running(tmp_path, package) as server,
        Replayer(server.state.url, "masks", traffic, Pace(20.0)) as sent,
    ):
        time.sleep(1.5)
        outcomes = sent.outcomes()
        images = np.load(training_set / "images-test.npy")[:1]
        path, asked = "/predict/masks", {"accept": "image/png"}
        status, headers, content = server.client.request("POST", path, encode_png(images[0]), asked)
    picture = Image.open(io.BytesIO(content))
    assert (status, headers["content-type"], headers["linnet-model-version"]) == (200, "image/png", "1")
    said = Predictor.load("1", package, 1).predict(images, None).output
    assert picture.size == (SIDE, SIDE) and (np.asarray(picture) == said[0, 0]).mean() > 0.99
    scores = [one.correct for one in outcomes if one.correct is not None]
    assert len(scores) > 3 and np.mean(scores) > 0.6
    assert all(0.0 <= score <= 1.0 for score in scores)


def test_drift_and_performance_of_a_window(
    training_set: Path, package: Path, served: Predictor, tmp_path: Path
) -> None:
    truth = maps(150, SIDE, 77)
    log = PredictionLog(tmp_path / "log", 10_000, 1.0)
    log.start()
    now = time.time()
    for number, image in enumerate(pictures(truth, 10)):
        said = served.predict(image[None], None)
        log.offer(LogEntry(f"r{number}", now, "masks", "1", served.answer, 1.5, said, None))
    log.close()
    labels = [target_of(TASK).decode(row, CLASSES) for row in truth]
    write_feedback(tmp_path / "log", "masks", labels)
    end = datetime.now(UTC) + timedelta(seconds=5)
    start, config = end - timedelta(hours=1), MonitoringConfig(min_rows=100)
    write_window(tmp_path / "log", "masks", "1", start, end, config, tmp_path / "window", all_images=True)
    drift = measure_drift(tmp_path / "window", package, config, (), tmp_path / "drift")
    assert drift.verdict == "stable", [test.name for test in drift.tests if test.drifted]
    assert {"area", "classes"} <= {test.name for test in drift.tests}
    found = measure_performance(
        tmp_path / "window", package, tmp_path / "log", drift, config, tmp_path / "performance"
    )
    assert found.labelled == 150 and found.accuracy is not None and found.accuracy.value > 0.7
    assert set(found.cohorts) == set(CLASSES) and not found.confusion
    assert Reference.load(package).task == TASK


def test_feedback_is_a_segmentation_as_text_or_as_json() -> None:
    text = target_of(TASK).decode(maps(1, SIDE, 5)[0], CLASSES)
    for given in (text, json.loads(text)):
        rows, _ = parse_feedback({"request_id": "r0", "label": given}, set(CLASSES), TASK)
        assert rows[0]["label"] == text
    for wrong in ("bag", ["bag"], 3, text.replace("top", "hat").replace("bag", "hat").replace("shoe", "hat")):
        with pytest.raises(RequestRejected, match="label"):
            parse_feedback({"request_id": "r0", "label": wrong}, set(CLASSES), TASK)


@pytest.mark.parametrize(
    "settings", [{"balanced_sampling": True}, {"mixup": 0.1}, {"augment": "photo"}, {"epochs": 0}]
)
def test_setting_that_masks_do_not_allow_is_refused(
    training_set: Path, tmp_path: Path, settings: dict[str, object]
) -> None:
    with pytest.raises(ConfigError, match=rf"train\.{next(iter(settings))}"):
        train(training_set, CONFIG.model_copy(update=settings), tmp_path / "out", tmp_path / "work")
