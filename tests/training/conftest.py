from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from linnet.config import TrainConfig
from linnet.vision.statistics import FEATURES, image_statistics

Maker = Callable[..., Path]


def make_training_set(
    folder: Path, *, count: int = 320, side: int = 12, channels: int = 1, seed: int = 0, digest: str = "d"
) -> Path:
    """Three classes that differ in the direction of noisy stripes: learnable from pixels in seconds."""
    folder.mkdir(parents=True)
    numbers = np.random.default_rng(seed)
    for split, rows in {"train": count, "validation": 60}.items():
        labels = numbers.integers(0, 3, rows)
        y, x = np.mgrid[:side, :side]
        waves = np.stack([np.sin(y * 1.6), np.sin(x * 1.6), np.sin((x + y) * 1.1)])[labels]
        noisy = 128 + 50 * waves[..., None] + numbers.normal(0, 25, (rows, side, side, channels))
        images = noisy.clip(0, 255).astype(np.uint8)
        np.save(folder / f"images-{split}.npy", images)
        np.save(folder / f"labels-{split}.npy", labels.astype(np.int64))
        np.save(folder / f"features-{split}.npy", image_statistics(images))
    about = {
        "classes": ["flat", "upright", "slanted"],
        "features": list(FEATURES),
        "feature_service": "made_v1",
        "height": side,
        "width": side,
        "channels": channels,
        "dataset_digest": digest,
        "labels_digest": "l",
        "counts": {"train": count, "validation": 60},
    }
    (folder / "training_set.json").write_text(json.dumps(about))
    return folder


@pytest.fixture
def made(tmp_path: Path) -> Path:
    return make_training_set(tmp_path / "made")


@pytest.fixture
def maker() -> Maker:
    return make_training_set


@pytest.fixture
def quick() -> TrainConfig:
    """A small, fast config: about half a second for the made set."""
    return TrainConfig(
        epochs=3, batch_size=20, width=8, learning_rate=0.1, flip=False, flip_average=False, shift=1
    )


@pytest.fixture
def tiny_weights(tmp_path: Path) -> Path:
    """Weights of timm's tiny network in a safetensors file (random, as the tests need no ImageNet)."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(5)
    state = timm.create_model("test_efficientnet", pretrained=False).state_dict()
    save_file({name: value.contiguous() for name, value in state.items()}, tmp_path / "tiny.safetensors")
    return tmp_path / "tiny.safetensors"
