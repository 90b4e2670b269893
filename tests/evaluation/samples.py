"""Predictions, reports and training sets of known quality, made from a seed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from linnet.records import TrainingSetManifest
from linnet.statistics.metrics import Predictions
from linnet.tasks.classification.score import softmax
from linnet.vision.networks import save_model
from linnet.vision.statistics import FEATURES, image_statistics

CLASSES = ("dark", "dim", "bright", "white")


def logits_for(
    labels: npt.NDArray[np.int64], classes: int, rng: np.random.Generator, strength: float = 3.0
) -> npt.NDArray[np.float64]:
    """Noise, with the true class lifted by `strength` standard deviations."""
    logits = rng.normal(size=(len(labels), classes))
    logits[np.arange(len(labels)), labels] += strength
    return logits


def predictions(samples: int = 400, classes: int = 4, strength: float = 3.0, seed: int = 0) -> Predictions:
    rng = np.random.default_rng(seed)
    labels = np.arange(samples) % classes
    return Predictions(labels, softmax(logits_for(labels, classes, rng, strength)))


def write_training_set(folder: Path, test: int = 200, validation: int = 80, noise: int = 12) -> Path:
    """Gray 8 x 8 images whose class is the quarter of the brightness scale they lie in."""
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    sizes = {"test": test, "validation": validation, "production": 40, "train": 120}
    for split, count in sizes.items():
        labels = np.arange(count, dtype=np.int64) % len(CLASSES)
        level = 32 + 64 * labels[:, None, None, None] + rng.integers(-noise, noise + 1, (count, 8, 8, 1))
        images = np.clip(level, 0, 255).astype(np.uint8)
        np.save(folder / f"images-{split}.npy", images)
        np.save(folder / f"labels-{split}.npy", labels)
        np.save(folder / f"features-{split}.npy", image_statistics(images))
        np.save(folder / f"ids-{split}.npy", np.array([f"{split[:4]}{i:028d}" for i in range(count)], "S32"))
        third = np.array(["dark", "medium", "bright"])[np.arange(count) % 3]
        shop = np.array(["only one" if i == 0 else "rest" for i in range(count)])
        np.savez(folder / f"cohorts-{split}.npz", brightness=third, shop=shop)
    TrainingSetManifest(
        classes=tuple(CLASSES),
        features=FEATURES,
        feature_service="image_classifier_v1",
        height=8,
        width=8,
        channels=1,
        dataset_digest="d" * 32,
        labels_digest="e" * 32,
        counts=sizes,
    ).save(folder / "training_set.json")
    return folder


def write_model(folder: Path, *, shift: int = 0, poison: bool = False, classes: int = 4) -> Path:
    """A real network file that reads the class off the brightness.

    `shift` permutes the classes (a broken model), `poison` makes every answer NaN.
    """
    from linnet.vision.networks import build_network, plan_architecture

    plan = plan_architecture(height=8, width=8, channels=1, features=len(FEATURES), classes=classes, base=4)
    network = build_network(plan)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        encode = network.get_submodule("encode")[0]
        encode.weight[0, 0] = 1.0
        head = network.get_submodule("head")
        start = head.in_features - 32
        order = [(k + shift) % classes for k in range(classes)]
        centers = 0.125 + 0.25 * torch.arange(classes, dtype=torch.float32)
        head.weight[order, start] = 200.0 * centers  # -(x - c)^2 up to a common term
        head.bias[order] = -100.0 * centers**2
        if poison:
            head.bias[0] = float("nan")
    save_model(folder, network)
    return folder
