"""The model that serving is measured with: the network of configs/fashion.toml, exported as `package` does.

Its weights are random: what a server costs does not depend on them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from linnet.artifacts.onnx_model import GOLDEN_FILE, MODEL_FILE, PACKAGE_FILE, model_digest
from linnet.config import load_config
from linnet.packaging.export import export
from linnet.packaging.parity import torch_output
from linnet.records import ModelPackage, now
from linnet.vision.statistics import FEATURES, image_statistics

CLASSES = 10


def build(folder: Path, name: str = "fashion", seed: int = 0) -> Path:
    """Writes a package that Linnet's server takes to `folder`."""
    import torch

    from linnet.vision.networks import build_network, plan_architecture

    train = load_config(Path("configs/fashion.toml")).train
    torch.manual_seed(seed)
    plan = plan_architecture(
        height=28, width=28, channels=1, features=len(FEATURES), classes=CLASSES,
        base=train.width, depth=train.depth, flip_average=train.flip,
    )  # fmt: skip
    network = build_network(plan).eval()
    folder.mkdir(parents=True, exist_ok=True)
    export(network, 1.0, folder)
    images = sample_images(32, seed)
    features = image_statistics(images)
    probabilities = torch_output(network, 1.0, images, features)
    np.savez(folder / GOLDEN_FILE, images=images, features=features, probabilities=probabilities)
    path = folder / MODEL_FILE
    ModelPackage(
        name=name, classes=tuple(f"class {i}" for i in range(CLASSES)), height=28, width=28, channels=1,
        features=FEATURES, feature_service="image_classifier_v1", temperature=1.0, dataset_digest="0" * 32,
        model_digest=model_digest(path), parity_max_difference=0.0, parity_agreement=1.0,
        latency_p50_ms=1.0, latency_p95_ms=1.0, size_mb=path.stat().st_size / 1e6,
        metrics={"accuracy": 0.9}, created_at=now(),
    ).save(folder / PACKAGE_FILE)  # fmt: skip
    return folder


def sample_images(count: int, seed: int = 0) -> np.ndarray:
    """Images uint8 [N, 28, 28, 1] with smooth shapes in them, so that PNG compresses them as photos."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, 7, 7, 1)).astype(np.float32)
    fine = np.repeat(np.repeat(coarse, 4, axis=1), 4, axis=2) + rng.normal(0, 12, (count, 28, 28, 1))
    return np.clip(fine, 0, 255).astype(np.uint8)
