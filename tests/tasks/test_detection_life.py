"""Boxes from the training set to drift: trained, judged, packaged, answered, replayed, logged and watched."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from linnet.artifacts.onnx_model import PackagedModel
from linnet.artifacts.reference import Reference
from linnet.artifacts.training_set import read_split
from linnet.config import (
    EvaluationConfig,
    GatesConfig,
    MonitoringConfig,
    ReleaseConfig,
    ServingConfig,
    TrainConfig,
)
from linnet.deployment.false_positive_study import PROMOTE, Version, simulate
from linnet.deployment.pace import Pace
from linnet.deployment.replay import Replayer, Traffic
from linnet.evaluation.compare import agreements, compare_to_champion
from linnet.evaluation.evaluate import evaluate
from linnet.evaluation.gates import evaluate_gates
from linnet.evaluation.measure import measure
from linnet.labels.candidates import read_candidates
from linnet.labels.select import select
from linnet.monitoring.measure import measure_drift
from linnet.monitoring.window import write_window
from linnet.packaging.package import build_package, judge_package
from linnet.records import SPLITS, EvaluationReport, ModelPackage, TrainingSetManifest
from linnet.serving.log import LogEntry, PredictionLog
from linnet.serving.predictor import Predictor
from linnet.tasks.answer import answer_of
from linnet.tasks.detection.boxes import Box, Floats, boxes_of, text_of
from linnet.tasks.detection.score import SCORE
from linnet.tasks.detection.target import TARGET
from linnet.tasks.score import Fitted
from linnet.training.train import train
from linnet.vision.statistics import FEATURES, brightness_cohort, brightness_edges, image_statistics
from tests.serving.running import running

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # a detector is trained

Floats32 = npt.NDArray[np.float32]
CLASSES = ("bright", "dark")
SIDE = 32
SIZES = {"train": 240, "validation": 60, "test": 120, "production": 60}
GATES = GatesConfig(
    min_accuracy=0.5, min_macro_f1=0.5, min_map=0.2, min_map50=0.5, max_miss_rate=0.5,
    max_false_positives=1.0, min_worst_recall=0.3, max_ece=0.3, max_cohort_gap=0.5, max_latency_p95_ms=60_000,
)  # fmt: skip
FEW = EvaluationConfig(resamples=100)
TRAINING = TrainConfig(
    epochs=12, batch_size=24, width=8, optimizer="adamw", learning_rate=0.01, schedule="cosine", shift=2,
    label_smoothing=0.0,
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
    train(training_set, TRAINING, model, training_set.parent / "work")
    report, decision = evaluate(model, training_set, FEW, GATES, evaluation)
    assert decision.verdict == "pass", decision.reasons
    assert {gate.name for gate in decision.gates} == {
        "accuracy", "macro_f1", "map", "map50", "miss_rate", "false_positives", "worst_recall", "ece",
        "cohort_gap",
    }  # fmt: skip
    assert report.metrics["map"].low < report.metrics["map"].value < report.metrics["map50"].value
    page = (evaluation / "report.html").read_text("utf-8")
    assert set(report.mistakes) == {"missed object", "duplicate", "wrong class", "poor box", "background"}
    assert {"objects", "smallest object", "brightness"} <= {row.cohort for row in report.cohorts}
    assert "Kinds of mistake" in page
    assert "mAP 50" in page and "Miss rate" in page and "[[" not in page
    serving = ServingConfig(workers=1)
    samples = build_package(model, evaluation, training_set, GATES.min_parity, serving, "boxes", folder)
    packed, verdict = judge_package(model, evaluation, training_set, GATES, samples, folder)
    assert verdict.verdict == "pass", verdict.reasons
    assert packed.task == "detection" and packed.parity_max_difference < 1e-3
    return folder


def dropped(output: Floats, k: int) -> Floats:
    """Class k is never found."""
    worse = output.copy()
    worse[worse[..., 5] == k] = 0.0
    return worse


def moved(output: Floats, k: int) -> Floats:
    """Boxes a tenth of their size to the left, the right, upwards, downwards, or larger, by k."""
    worse = output.copy()
    size = worse[..., 2:4] - worse[..., :2]
    away = np.array([(-1, 0, -1, 0), (1, 0, 1, 0), (0, -1, 0, -1), (0, 1, 0, 1), (-1, -1, 1, 1)][k]) * 0.1
    worse[..., :4] = (worse[..., :4] + np.concatenate([size, size], axis=2) * away).clip(0, 1)
    return worse


def missed(output: Floats, k: int) -> Floats:
    """A fifth of what was found, and more with k, is not, at random."""
    gone = np.random.default_rng(k).random(output.shape[:2]) < 0.2 + 0.02 * k
    return np.where(gone[..., None], 0.0, output)


def ghostly(output: Floats, k: int) -> Floats:
    """A sure box where nothing is, in every second image and more with k."""
    worse, rng = output.copy(), np.random.default_rng(k)
    for row in np.flatnonzero(rng.random(len(output)) < 0.5 + 0.04 * k):
        worse[row, -1] = (*rng.uniform(0, 0.05, 2), *rng.uniform(0.9, 1, 2), 0.99, k % len(CLASSES))
    return worse


PLANTED = [
    *((dropped, k) for k in range(2)), *((moved, k) for k in range(5)),
    *((missed, k) for k in range(13)), *((ghostly, k) for k in range(10)),
]  # fmt: skip


def test_every_planted_regression_of_boxes_is_refused_by_gate_and_judge(
    training_set: Path, package: Path
) -> None:
    """Of 30; the champion's own answers pass the gates beside itself, and the judge promotes them."""
    test, evaluation = read_split(training_set, "test"), training_set.parent / "evaluation"
    thresholds = ModelPackage.load(package / "package.json").thresholds
    with np.load(evaluation / "predictions.npz") as stored:
        output = stored["detections"].astype(np.float64)
    answer, config, release = answer_of("detection", CLASSES, thresholds), FEW, ReleaseConfig()
    truth, champion = test.truth, answer.labels(output)
    theirs = agreements("detection", champion, truth)

    def found(answered: Floats) -> tuple[bool, bool]:
        """Whether gates let it through, and whether the judge promotes it."""
        order = np.argsort(-answered[..., 4], axis=1, kind="stable")
        answered = np.take_along_axis(answered, order[..., None], axis=1)
        results = SCORE.described(test.labels, answered, thresholds)
        alike = float(agreements("detection", answer.labels(answered), champion).mean())
        compared = compare_to_champion(results.scores, theirs, alike, "1", config.confidence)
        fitted = Fitted(1.0, thresholds)
        report = measure(
            results, results, test.ids, CLASSES, test.cohorts, fitted, compared, config, "detection"
        )
        sides = (
            Version(accuracy=float(theirs.mean())),
            Version(accuracy=float(results.scores.mean()), agreement=alike),
        )
        ended = simulate(*sides, release, trials=1)
        return evaluate_gates(report, GATES).verdict == "pass", int(ended.verdicts[0]) == PROMOTE

    assert found(output) == (True, True)
    passed = [(damage.__name__, k, *found(damage(output, k))) for damage, k in PLANTED]
    assert len(passed) == 30
    assert not [one for one in passed if one[2]], "the gates let these through"
    assert not [one for one in passed if one[3]], "the judge promotes these"


def forgotten(labels: Floats32) -> None:
    """People left one class out."""
    labels[labels[..., 0] == 1] = (-1, 0, 0, 0, 0)


def beside(labels: Floats32) -> None:
    """Boxes a tenth of their width to the right of what they are about."""
    there = labels[..., 0] >= 0
    width = (labels[..., 3] - labels[..., 1])[there]
    for side in (1, 3):
        labels[there, side] = np.minimum(labels[there, side] + 0.1 * width, 1)


@pytest.mark.parametrize(("spoil", "gate"), [(forgotten, "worst_recall"), (beside, "non_inferiority")])
def test_training_on_worse_labels_is_refused_beside_the_champion(
    spoil: Callable[[Floats32], None], gate: str, training_set: Path, package: Path, tmp_path: Path
) -> None:
    worse = tmp_path / "set"
    shutil.copytree(training_set, worse)
    for split in ("train", "validation"):
        labels = np.load(worse / f"labels-{split}.npy")
        spoil(labels)
        np.save(worse / f"labels-{split}.npy", labels)
    train(worse, TRAINING, tmp_path / "model", tmp_path / "work")
    _, decision = evaluate(tmp_path / "model", worse, FEW, GATES, tmp_path / "evaluation", package, "1")
    failed = {one.name for one in decision.gates if not one.passed}
    assert decision.verdict == "fail" and gate in failed, failed


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
