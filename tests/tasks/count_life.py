"""The life cycle of the task that docs/extending.md adds; test_toy_task runs it where that was applied."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

import linnet
from linnet.config import (
    EvaluationConfig,
    GatesConfig,
    LabelsConfig,
    MonitoringConfig,
    ServingConfig,
    TrainConfig,
)
from linnet.evaluation.evaluate import evaluate
from linnet.labels.collect import collect
from linnet.labels.request import request_labels
from linnet.labels.table import LabelRow, LabelTable
from linnet.monitoring.measure import measure_drift
from linnet.monitoring.performance import measure_performance
from linnet.monitoring.simulate import ImagePool, drifted
from linnet.monitoring.window import write_window
from linnet.packaging.package import build_package, judge_package
from linnet.records import SPLITS, DatasetManifest, TrainingSetManifest
from linnet.serving.feedback import parse_feedback
from linnet.serving.log import LogEntry, PredictionLog
from linnet.serving.predictor import Predictor
from linnet.tasks.agree import agreement_of
from linnet.tasks.label_form import label_form_of
from linnet.training.train import train
from linnet.vision.statistics import FEATURES, brightness_cohort, brightness_edges, image_statistics
from tests.labels.sample_tables import write_samples
from tests.tasks.feedback_file import write_feedback

TASK, NUMBERS = "count", ("0", "1", "2", "3")
SIZES = {"train": 480, "validation": 120, "test": 240, "production": 80}
GATES = GatesConfig(
    min_accuracy=0.6, min_macro_f1=0.4, min_auc=0.5, max_ece=0.4, min_worst_recall=0.1, max_cohort_gap=1.0,
    max_latency_p95_ms=60_000,
)  # fmt: skip


def pictures(counts: np.ndarray, seed: int) -> np.ndarray:
    """So many bright squares on noise; uint8 [N, 12, 12, 1]."""
    rng = np.random.default_rng(seed)
    images = rng.normal(60, 15, (len(counts), 12, 12, 1))
    for image, count in zip(images, counts, strict=True):
        for place in rng.permutation(9)[:count]:
            y, x = 4 * (place // 3), 4 * (place % 3)
            image[y : y + 3, x : x + 3] += 130
    return images.clip(0, 255).astype(np.uint8)


def training_set(folder: Path) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(1)
    for seed, split in enumerate(SPLITS):
        counts = rng.integers(0, 4, SIZES[split])
        images = pictures(counts, seed)
        features = image_statistics(images)
        bright = features[:, FEATURES.index("brightness")]
        np.save(folder / f"images-{split}.npy", images)
        np.save(folder / f"labels-{split}.npy", counts.astype(np.int64))
        np.save(folder / f"features-{split}.npy", features)
        np.save(folder / f"ids-{split}.npy", np.array([f"{seed}{n:031d}" for n in range(len(counts))], "S32"))
        np.savez(
            folder / f"cohorts-{split}.npz", brightness=brightness_cohort(bright, brightness_edges(bright))
        )
    TrainingSetManifest(
        task=TASK, classes=NUMBERS, features=FEATURES, feature_service="made_v1", height=12, width=12,
        channels=1, dataset_digest="d", labels_digest="l", counts=SIZES,
    ).save(folder / "training_set.json")  # fmt: skip
    return folder


def packaged(home: Path, made: Path) -> Path:
    """Trained, judged, and packed; a model that counts one too many is refused against it."""
    import torch

    from linnet.vision.networks import load_model, save_model

    config = TrainConfig(
        epochs=5, batch_size=30, width=8, learning_rate=0.1, flip=False, flip_average=False, shift=0
    )
    report = train(made, config, home / "model", home / "work")
    assert report.history[-1]["validation_accuracy"] > 0.6
    few = EvaluationConfig(resamples=100)
    measured, decision = evaluate(home / "model", made, few, GATES, home / "evaluation")
    assert decision.verdict == "pass", decision.reasons
    counts = np.array(measured.confusion)
    near = 1 / (1 + abs(np.subtract.outer(np.arange(4), np.arange(4))))
    assert measured.task == TASK
    assert np.isclose(measured.metrics["accuracy"].value, (counts * near).sum() / counts.sum())
    package = home / "package"
    samples = build_package(
        home / "model", home / "evaluation", made, 0.99, ServingConfig(workers=1), "counts", package
    )
    _, verdict = judge_package(home / "model", home / "evaluation", made, GATES, samples, package)
    assert verdict.verdict == "pass", verdict.reasons
    network = load_model(home / "model")
    with torch.no_grad():
        network.head.weight[:] = network.head.weight.roll(1, dims=0)
        network.head.bias[:] = network.head.bias.roll(1, dims=0)
    save_model(home / "worse", network)
    worse, refused = evaluate(home / "worse", made, few, GATES, home / "out", package, "1")
    assert refused.verdict == "fail" and worse.comparison is not None and worse.comparison.difference.high < 0
    return package


def watched(home: Path, package: Path) -> None:
    """Served, logged, told the truth, and compared with the reference."""
    served, truth = Predictor.load("1", package, 1), np.random.default_rng(5).integers(0, 4, 300)
    log, now = PredictionLog(home / "log", 10_000, 1.0), time.time()
    log.start()
    said = []
    for number, image in enumerate(pictures(truth, 10)):
        found = served.predict(image[None], None)
        said.append(served.answer.labels(found.output)[0])
        log.offer(LogEntry(f"r{number}", now, "counts", "1", served.answer, 1.5, found, None))
    log.close()
    told = np.maximum(truth - (np.arange(300) % 4 == 0), 0)  # users who count one too few, now and then
    write_feedback(home / "log", "counts", [str(count) for count in told])
    rows, _ = parse_feedback({"request_id": "r0", "label": "2"}, set(NUMBERS), TASK)
    assert rows[0]["label"] == "2"
    end = datetime.now(UTC) + timedelta(seconds=5)
    config = MonitoringConfig(min_rows=100)
    span = end - timedelta(hours=1), end
    write_window(home / "log", "counts", "1", *span, config, home / "window", all_images=True)
    drift = measure_drift(home / "window", package, config, (), home / "drift")
    assert drift.verdict == "stable", [test.name for test in drift.tests if test.drifted]
    live = measure_performance(home / "window", package, home / "log", drift, config, home / "performance")
    agree = agreement_of(TASK)
    scores = [agree(a, str(b)) for a, b in zip(said, told, strict=True)]
    assert live.labelled == 300 and live.accuracy is not None
    assert np.isclose(live.accuracy.value, np.mean(scores)) and 0.5 in scores
    pool = ImagePool(pictures(truth, 10), truth, NUMBERS, TASK)
    assert {label for _, label in drifted(pool, ["relabel"], 1.0, 50)} <= set(NUMBERS)


def asked(home: Path) -> None:
    """A round's questions, people's answers, and the labels that they make."""
    ids = [f"2{n:031d}" for n in range(SIZES["test"])]
    ids += [f"{split}{n:031d}" for split in (0, 1) for n in range(60)]
    samples = write_samples(home / "samples", dict.fromkeys(ids, "1"))
    manifest = samples / "manifest.json"
    DatasetManifest.load(manifest).model_copy(update={"task": TASK, "classes": NUMBERS}).save(manifest)
    config = LabelsConfig(budget=20)
    requests = request_labels(home / "evaluation", samples, config, "counts", home / "requests")
    assert requests and all(one.task == TASK and one.predicted in NUMBERS for one in requests)
    form = label_form_of(TASK, NUMBERS)
    assert form.fits({"label": {"type": "Choices"}}) and not form.fits({"label": {"type": "Number"}})
    now, rows = datetime.now(UTC), []
    for one in requests:
        for who, count in (("ann", "2"), ("bob", "2"), ("cleo", "3")):
            status, label = form.answer({"result": form.prediction(count, 1.0, who)["result"]})
            rows.append(
                LabelRow(sample_id=one.sample_id, label=label, annotator=who, labelled_at=now, status=status)
            )
    LabelTable("counts").append(rows)
    batch = collect(samples, "counts", config, home / "labels")
    assert batch.rows == batch.corrections == len(requests)
    table = pq.read_table(home / "labels" / "labels.parquet").to_pylist()
    assert {row["label"] for row in table} == {"2"}
    assert np.allclose([row["agreement"] for row in table], (1 + 1 + 0.5) / 3)


if __name__ == "__main__":
    where = Path(sys.argv[1])
    assert Path(linnet.__file__).is_relative_to(Path.cwd()), "the copy with the section is to be taken"
    package = packaged(where, training_set(where / "set"))
    watched(where, package)
    asked(where)
