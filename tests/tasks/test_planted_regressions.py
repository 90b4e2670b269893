"""Regressions planted in a trained network are refused by a gate, whatever is asked: 30 of 30 a task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from linnet.config import EvaluationConfig, GatesConfig, ServingConfig, TrainConfig
from linnet.evaluation.evaluate import evaluate
from linnet.packaging.package import build_package
from linnet.records import SPLITS, TrainingSetManifest
from linnet.tasks.parts import TASKS
from linnet.tasks.target import target_of
from linnet.training.train import train
from linnet.vision.networks import load_model, save_model
from linnet.vision.statistics import FEATURES, brightness_cohort, brightness_edges, image_statistics

pytestmark = [pytest.mark.proof, pytest.mark.timeout(900)]  # 31 evaluations each

CLASSES = ("blue", "green", "red")
SIZES = {"train": 480, "validation": 120, "test": 240, "production": 30}
GATES = GatesConfig(
    min_accuracy=0.7, min_macro_f1=0.7, min_micro_f1=0.7, min_map=0.7, min_auc=0.7, max_ece=0.3
)
FEW = EvaluationConfig(resamples=100)


def made_set(folder: Path, task: str) -> Path:
    """Noise whose color channels are bright as the labels say; of one class an image, just one is."""
    folder.mkdir(parents=True)
    rng, target = np.random.default_rng(1), target_of(task)
    for seed, split in enumerate(SPLITS):
        shown = rng.random((SIZES[split], 3)) < (0.6, 0.4, 0.3)
        if not target.several:
            shown = np.eye(3, dtype=bool)[rng.integers(0, 3, SIZES[split])]
        names = [target.label([CLASSES[k] for k in np.flatnonzero(row)]) for row in shown]
        pixels = rng.normal(70, 45, (len(shown), 12, 12, 3)) + shown[:, None, None, ::-1] * 90
        images = pixels.clip(0, 255).astype(np.uint8)
        features = image_statistics(images)
        bright = features[:, FEATURES.index("brightness")]
        np.save(folder / f"images-{split}.npy", images)
        np.save(folder / f"labels-{split}.npy", target.encode(names, CLASSES, 8, 8))
        np.save(folder / f"features-{split}.npy", features)
        np.save(folder / f"ids-{split}.npy", np.array([f"{seed}{n:031d}" for n in range(len(names))], "S32"))
        np.savez(
            folder / f"cohorts-{split}.npz", brightness=brightness_cohort(bright, brightness_edges(bright))
        )
    TrainingSetManifest(
        task=task, classes=CLASSES, features=FEATURES, feature_service="made_v1", height=12, width=12,
        channels=3, dataset_digest="d", labels_digest="l", counts=SIZES,
    ).save(folder / "training_set.json")  # fmt: skip
    return folder


def forgets(network: Any, k: int, _: int) -> None:
    """Class k is dropped: it is likely for no image."""
    network.head.weight[k] = 0.0
    network.head.bias[k] = -4.0


def takes_for_another(network: Any, k: int, _: int) -> None:
    """Class k and the next one are taken for each other."""
    pair = [k, (k + 1) % len(CLASSES)]
    network.head.weight[pair] = network.head.weight[pair[::-1]].clone()
    network.head.bias[pair] = network.head.bias[pair[::-1]].clone()


def sees_everywhere(network: Any, k: int, _: int) -> None:
    """Class k is named for every image."""
    network.head.weight[k] = 0.0
    network.head.bias[k] = 4.0


def is_noisy(network: Any, k: int, seed: int) -> None:
    """Weights of class k as after a damaged checkpoint."""
    import torch

    noise = torch.randn(network.head.weight[k].shape, generator=torch.Generator().manual_seed(seed))
    network.head.weight[k] += noise * network.head.weight[k].norm() * 1.5


DAMAGE = (forgets, takes_for_another, sees_everywhere)
CASES = [(damage, k, 0) for damage in DAMAGE for k in range(3)] + [(is_noisy, s % 3, s) for s in range(21)]


@pytest.mark.parametrize("task", [task for task in TASKS if not target_of(task).spatial])
def test_every_planted_regression_is_refused_by_a_gate(task: str, tmp_path: Path) -> None:
    """By the floors or by the comparison with the champion, which itself passes."""
    training_set, model, package = made_set(tmp_path / "set", task), tmp_path / "model", tmp_path / "package"
    config = TrainConfig(
        epochs=4, batch_size=30, width=8, learning_rate=0.1, flip=False, flip_average=False, shift=0
    )
    train(training_set, config, model, tmp_path / "work")
    _, sound = evaluate(model, training_set, FEW, GATES, tmp_path / "evaluation")
    assert sound.verdict == "pass", sound.reasons
    serving = ServingConfig(workers=1)
    build_package(model, tmp_path / "evaluation", training_set, 0.99, serving, "made", package)
    _, again = evaluate(model, training_set, FEW, GATES, tmp_path / "same", package, "1")
    assert again.verdict == "pass", again.reasons
    passed = []
    for number, (damage, k, seed) in enumerate(CASES):
        network = load_model(model)
        with torch.no_grad():
            damage(network, k, seed)
        save_model(tmp_path / "worse", network)
        _, decision = evaluate(
            tmp_path / "worse",
            training_set,
            FEW,
            GATES,
            tmp_path / "out",
            package,
            "1",
        )
        if decision.verdict == "pass":
            passed.append((number, damage.__name__, k, seed))
    assert len(CASES) == 30 and not passed
