"""Tiny real folders as the steps before `package` write them: model, evaluation, training set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from linnet.records import (
    CohortResult,
    EvaluationReport,
    GateDecision,
    Interval,
    PretrainedWeights,
    TrainingReport,
    TrainingSetManifest,
)
from linnet.vision.statistics import FEATURES, image_statistics

CLASSES = ("boot", "coat", "hat")
SIDE, COUNT = 8, 60
WEIGHTS = PretrainedWeights(
    backbone="test_efficientnet", origin="file tiny.safetensors", license="Apache-2.0", sha256="a" * 64
)


@dataclass(frozen=True)
class Folders:
    model: Path
    evaluation: Path
    training_set: Path


def make_folders(
    folder: Path, temperature: float = 1.3, channels: int = 1, side: int = SIDE, backbone: str = ""
) -> Folders:
    """`backbone`: one of timm's networks in place of the small one."""
    import torch

    from linnet.vision.backbones import plan_backbone
    from linnet.vision.networks import build_network, plan_architecture, save_model

    torch.manual_seed(3)
    made = Folders(folder / "model", folder / "evaluation", folder / "training_set")
    rng = np.random.default_rng(5)
    images = rng.integers(0, 256, (COUNT, side, side, channels)).astype(np.uint8)
    features = image_statistics(images)
    sizes = {
        "height": side,
        "width": side,
        "channels": channels,
        "features": len(FEATURES),
        "classes": len(CLASSES),
    }
    network = build_network(
        plan_backbone(name=backbone, **sizes, flip_average=True)
        if backbone
        else plan_architecture(**sizes, base=4)
    )
    network.fit_constants(torch.from_numpy(images), torch.from_numpy(features))
    save_model(made.model, network)
    history = tuple(
        {"epoch": float(e), "loss": 1.0 / e, "train_accuracy": 0.8, "validation_accuracy": 0.7 + e / 20}
        for e in (1, 2, 3)
    )
    TrainingReport(
        history=history, parameters=100, seconds=1.5, device="cpu", precision="fp32",
        versions={"torch": "2"}, config={"epochs": 3},
        weights=WEIGHTS if backbone else None,
    ).save(made.model / "training.json")  # fmt: skip
    _write_evaluation(made.evaluation, temperature)
    _write_training_set(made.training_set, images, features, channels)
    return made


def _write_evaluation(folder: Path, temperature: float) -> None:
    interval = Interval(value=0.9, low=0.85, high=0.95)
    report = EvaluationReport(
        samples=COUNT,
        classes=CLASSES,
        metrics={"accuracy": interval, "macro_f1": interval},
        per_class={name: {"precision": 0.9, "recall": 0.9, "f1": 0.9, "support": 20.0} for name in CLASSES},
        confusion=((20, 0, 0), (0, 20, 0), (0, 0, 20)),
        cohorts=(CohortResult(cohort="brightness", value="dark", samples=20, accuracy=interval),),
        temperature=temperature,
        ece_before=0.1,
        comparison=None,
        suspects=(),
    )
    report.save(folder / "evaluation.json")
    GateDecision(stage="evaluation", verdict="pass", gates=()).save(folder / "gates.json")
    (folder / "report.html").write_text("<!doctype html><title>report</title>")


def _write_training_set(folder: Path, images: np.ndarray, features: np.ndarray, channels: int) -> None:
    folder.mkdir(parents=True)
    for split, rows in {"train": slice(0, 30), "validation": slice(30, 40), "test": slice(COUNT)}.items():
        np.save(folder / f"images-{split}.npy", images[rows])
        np.save(folder / f"features-{split}.npy", features[rows])
        np.save(folder / f"labels-{split}.npy", (np.arange(COUNT) % len(CLASSES)).astype(np.int64)[rows])
    TrainingSetManifest(
        classes=tuple(CLASSES),
        features=FEATURES,
        feature_service="image_classifier_v1",
        height=images.shape[1],
        width=images.shape[2],
        channels=channels,
        dataset_digest="d" * 32,
        labels_digest="e" * 32,
        counts={"test": COUNT},
    ).save(folder / "training_set.json")
