"""Several classes an image from the training set to drift: trained, judged, packaged, answered, watched."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from linnet.artifacts.onnx_model import PackagedModel
from linnet.artifacts.reference import Reference
from linnet.commands import drift_simulate
from linnet.config import EvaluationConfig, GatesConfig, MonitoringConfig, ServingConfig, TrainConfig
from linnet.deployment.evidence import LabeledOutcome, RolloutEvidence
from linnet.deployment.pace import Pace
from linnet.deployment.replay import Replayer, Traffic
from linnet.errors import ConfigError, RequestRejected
from linnet.evaluation.evaluate import evaluate
from linnet.monitoring.measure import measure_drift
from linnet.monitoring.performance import measure_performance
from linnet.monitoring.recent import labelled_window
from linnet.monitoring.window import write_window
from linnet.packaging.package import build_package, judge_package
from linnet.records import SPLITS, TrainingSetManifest
from linnet.records.prediction_log import FEEDBACK
from linnet.serving.feedback import parse_feedback
from linnet.serving.log import LogEntry, PredictionLog
from linnet.serving.predictor import Predictor
from linnet.tasks.agree import agreement_of
from linnet.tasks.parts import TASKS
from linnet.tasks.target import target_of
from linnet.training.train import train
from linnet.vision.statistics import FEATURES, brightness_cohort, brightness_edges, image_statistics
from tests.commands.test_cache_commands import linnet
from tests.serving.running import running
from tests.tasks.feedback_file import write_feedback

pytestmark = pytest.mark.slow

SEVERAL = next(task for task in TASKS if target_of(task).several)
CLASSES = ("blue", "green", "red")
SIZES = {"train": 480, "validation": 120, "test": 240, "production": 80}
GATES = GatesConfig(
    min_accuracy=0.7, min_macro_f1=0.7, min_micro_f1=0.7, min_map=0.7, max_ece=0.3, max_latency_p95_ms=60_000
)


def pictures(labels: np.ndarray, seed: int) -> np.ndarray:
    """Noise whose color channels are bright as the labels [N, 3] say; uint8 [N, 12, 12, 3]."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(70, 45, (len(labels), 12, 12, 3))
    return (noise + labels[:, None, None, ::-1] * 90).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def training_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("several") / "set"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for seed, split in enumerate(SPLITS):
        labels = (rng.random((SIZES[split], 3)) < (0.6, 0.4, 0.3)).astype(np.uint8)
        images = pictures(labels, seed)
        features = image_statistics(images)
        edges = brightness_edges(features[:, FEATURES.index("brightness")])
        np.save(folder / f"images-{split}.npy", images)
        np.save(folder / f"labels-{split}.npy", labels)
        np.save(folder / f"features-{split}.npy", features)
        np.save(folder / f"ids-{split}.npy", np.array([f"{seed}{n:031d}" for n in range(len(labels))], "S32"))
        bright = brightness_cohort(features[:, FEATURES.index("brightness")], edges)
        np.savez(folder / f"cohorts-{split}.npz", brightness=bright)
    TrainingSetManifest(
        task=SEVERAL, classes=CLASSES, features=FEATURES, feature_service="made_v1", height=12, width=12,
        channels=3, dataset_digest="d", labels_digest="l", counts=SIZES,
    ).save(folder / "training_set.json")  # fmt: skip
    return folder


CONFIG = TrainConfig(
    epochs=4, batch_size=30, width=8, learning_rate=0.1, flip=False, flip_average=False, shift=0, mixup=0.1
)


@pytest.fixture(scope="module")
def model(training_set: Path) -> Path:
    folder = training_set.parent / "model"
    report = train(training_set, CONFIG, folder, training_set.parent / "work")
    assert report.history[-1]["validation_accuracy"] > 0.8
    return folder


@pytest.fixture(scope="module")
def package(training_set: Path, model: Path) -> Path:
    report, decision = evaluate(
        model, training_set, EvaluationConfig(resamples=200), GATES, training_set.parent / "evaluation"
    )
    assert decision.verdict == "pass", decision.reasons
    assert report.task == SEVERAL and len(report.thresholds) == 3 and not report.confusion
    names = {gate.name for gate in decision.gates}
    assert names == {"accuracy", "macro_f1", "micro_f1", "map", "worst_recall", "ece", "cohort_gap"}
    recalls = {row.value for row in report.cohorts if row.cohort == "class"}
    assert recalls == set(CLASSES) and report.metrics["map"].low < report.metrics["map"].value
    page = (training_set.parent / "evaluation" / "report.html").read_text("utf-8")
    assert "Micro F1" in page and "Confusion matrix" not in page
    assert "reliability diagram" in page
    assert ("The worst answers" in page) == (report.metrics["accuracy"].value < 1)
    folder = training_set.parent / "package"
    evaluation = training_set.parent / "evaluation"
    samples = build_package(
        model, evaluation, training_set, GATES.min_parity, ServingConfig(workers=1), "several", folder
    )
    packed, verdict = judge_package(model, evaluation, training_set, GATES, samples, folder)
    assert verdict.verdict == "pass", verdict.reasons
    assert packed.task == SEVERAL and packed.thresholds == report.thresholds
    return folder


def test_regressed_model_is_refused_against_its_champion(
    training_set: Path, model: Path, package: Path, tmp_path: Path
) -> None:
    """A class that the head has forgotten: the planted regression of a class that is dropped."""
    import torch

    from linnet.vision.networks import load_model, save_model

    network = load_model(model)
    same, passed = evaluate(
        model, training_set, EvaluationConfig(resamples=100), GATES, tmp_path / "same", package, "1"
    )
    assert passed.verdict == "pass" and same.comparison is not None
    assert same.comparison.difference.value == 0.0 and same.comparison.agreement == 1.0
    with torch.no_grad():
        network.head.weight[2] = 0.0
    save_model(tmp_path / "worse", network)
    lenient = GATES.model_copy(update={"min_worst_recall": 0.0, "max_ece": 1.0, "max_cohort_gap": 1.0})
    report, decision = evaluate(
        tmp_path / "worse",
        training_set,
        EvaluationConfig(resamples=100),
        lenient,
        tmp_path / "out",
        package,
        "1",
    )
    assert decision.verdict == "fail" and report.per_class["red"]["average_precision"] < 0.5
    assert "non_inferiority" in {gate.name for gate in decision.gates if not gate.passed}


@pytest.fixture(scope="module")
def served(package: Path) -> Iterator[Predictor]:
    yield Predictor.load("1", package, 1)


def test_server_lists_the_classes_that_reach_their_thresholds(training_set: Path, served: Predictor) -> None:
    images = np.load(training_set / "images-test.npy")
    truth = np.load(training_set / "labels-test.npy")
    said = served.predict(images, None)
    labels = served.answer.labels(said.output)
    target, agreement = target_of(SEVERAL), agreement_of(SEVERAL)
    scores = [agreement(a, target.decode(b, CLASSES)) for a, b in zip(labels, truth, strict=True)]
    assert np.mean(scores) > 0.8 and "" in labels and any("|" in label for label in labels)
    for row in range(8):
        listed = served.answer.listed(said.output[row])
        assert served.answer.said(listed) == labels[row]
        chances = [one["probability"] for one in listed]
        assert chances == sorted(chances, reverse=True)


def test_replayed_traffic_scores_every_answer(training_set: Path, package: Path, tmp_path: Path) -> None:
    traffic = Traffic.of_training_set(training_set)
    assert traffic.task == SEVERAL and {"red", "blue|red"} <= set(traffic.labels)
    with (
        running(tmp_path, package) as server,
        Replayer(server.state.url, "several", traffic, Pace(40.0)) as sent,
    ):
        time.sleep(1.5)
        outcomes = sent.outcomes()
    scores = [one.correct for one in outcomes if one.correct is not None]
    assert len(scores) > 5 and np.mean(scores) > 0.7
    assert all(0.0 <= score <= 1.0 for score in scores)


def test_simulated_drift_asks_the_server_and_tells_it_the_truth(
    training_set: Path, package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(tmp_path, package) as server:
        monkeypatch.setattr(drift_simulate, "server_state_file", lambda: server.state_file)
        words = ["--kind", "class-mix", "--severity", "0.5", "--count", "60", "--rate", "200", "--feedback"]
        done = linnet("drift", "simulate", *words, "--training-set", str(training_set))
    assert "model several" in done and "60 answered" in done and "60 labels sent" in done
    right = float(re.search(r"([0-9.]+)% correct", done).group(1))  # type: ignore[union-attr]
    assert 70 < right <= 100
    files = [file for file in (tmp_path / "log").rglob("*.parquet") if file.name.startswith(FEEDBACK)]
    labels = [label for file in files for label in pq.read_table(file).column("label").to_pylist()]
    assert len(labels) == 60 and any("|" in label for label in labels)
    assert {name for label in labels for name in target_of(SEVERAL).classes(label)} <= set(CLASSES)


def test_scores_in_between_survive_a_restart_of_the_judge() -> None:
    from linnet.config import ReleaseConfig

    evidence = RolloutEvidence("1", "2", ReleaseConfig())
    evidence.add_outcomes([LabeledOutcome("2", 0.5), LabeledOutcome("2", 1.0), LabeledOutcome("1", 0.25)])
    again = RolloutEvidence("1", "2", ReleaseConfig())
    again.restore(evidence.state())
    assert again.candidate.correct == 1.5 and again.champion.correct == 0.25


def test_feedback_is_a_list_of_classes_or_their_text() -> None:
    for given, text in (["red", "blue"], "blue|red"), ("red|blue", "blue|red"), ([], ""), (["red"], "red"):
        rows, _ = parse_feedback({"request_id": "r0", "label": given}, set(CLASSES), SEVERAL)
        assert rows[0]["label"] == text
    for wrong in (["red", "purple"], "red|purple", 3, [1]):
        with pytest.raises(RequestRejected, match="label: must be a list of some of"):
            parse_feedback({"request_id": "r0", "label": wrong}, set(CLASSES), SEVERAL)


def test_drift_and_performance_of_a_window(
    training_set: Path, package: Path, served: Predictor, tmp_path: Path
) -> None:
    rng = np.random.default_rng(9)
    truth = (rng.random((300, 3)) < (0.6, 0.4, 0.3)).astype(np.uint8)
    log = PredictionLog(tmp_path / "log", 10_000, 1.0)
    log.start()
    now = time.time()
    for number, image in enumerate(pictures(truth, 10)):
        said = served.predict(image[None], None)
        log.offer(LogEntry(f"r{number}", now, "several", "1", served.answer, 1.5, said, None))
    log.close()
    labels = [target_of(SEVERAL).decode(row, CLASSES) for row in truth]
    write_feedback(tmp_path / "log", "several", labels)
    end = datetime.now(UTC) + timedelta(seconds=5)
    start = end - timedelta(hours=1)
    config = MonitoringConfig(min_rows=100)
    write_window(tmp_path / "log", "several", "1", start, end, config, tmp_path / "window", all_images=True)
    drift = measure_drift(tmp_path / "window", package, config, (), tmp_path / "drift")
    assert drift.verdict == "stable", [test.name for test in drift.tests if test.drifted]
    found = measure_performance(
        tmp_path / "window", package, tmp_path / "log", drift, config, tmp_path / "performance"
    )
    assert found.labelled == 300 and found.accuracy is not None and found.accuracy.value > 0.8
    assert set(found.cohorts) == set(CLASSES) and not found.confusion
    reference = Reference.load(package)
    assert reference.task == SEVERAL and reference.class_counts.sum() > reference.held_out
    recent = labelled_window(tmp_path / "log", "several", "1", start, end, CLASSES, task=SEVERAL)
    assert not recent.notes and {one.label for one in recent.images} == set(labels)


def test_packaged_model_refuses_what_are_no_probabilities(package: Path) -> None:
    model = PackagedModel.load(package, 1)
    assert model.answer.problem(np.array([[0.2, 0.9, 0.9]], np.float32)) == ""
    assert model.answer.problem(np.array([[0.2, 1.9, 0.9]], np.float32))


def test_setting_that_several_classes_do_not_allow_is_refused(training_set: Path, tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"balanced_sampling": True})
    with pytest.raises(ConfigError, match=r"train\.balanced_sampling"):
        train(training_set, config, tmp_path / "out", tmp_path / "work")
