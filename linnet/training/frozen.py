"""A frozen backbone: its pooled activations, computed once and kept like any step's output."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from linnet.cache.digest import file_digest, value_digest
from linnet.cache.key import Key, code_digest, environment_digest, reached_by
from linnet.cache.store import Cache, StepResult
from linnet.training.dataset import TrainingSet
from linnet.training.measure import batch_within
from linnet.training.probe import activations, fit_head
from linnet.training.progress import Progress
from linnet.vision.fusion import FusionNetwork

_TASK = "backbone"


@dataclass(frozen=True)
class Kept:
    """Where pooled activations are kept from one training to the next, and what they belong to."""

    cache: Cache
    training_set: Path
    """Folder with the images, whose digest is part of the key."""
    weights: str
    """Digest of the backbone's weights."""


def fit_frozen(
    network: FusionNetwork,
    data: TrainingSet,
    weights: Tensor | None,
    device: torch.device,
    precision: torch.dtype,
    kept: Kept | None,
    say: Progress,
) -> dict[str, float]:
    """Fits the network's head on the frozen backbone; gives the row of epoch 0 for the history."""
    began = time.perf_counter()
    train, validation = (
        activations(
            network,
            pooled_activations(network, split.images, name, device, precision, kept, say),
            split.features,
            split.labels,
        )
        for name, split in (("train", data.train), ("validation", data.validation))
    )
    probe = fit_head(network, train, validation, weights, say)
    return {
        "epoch": 0.0,
        "loss": probe.loss,
        "train_accuracy": probe.train_accuracy,
        "images_per_second": len(data.train) / (time.perf_counter() - began),
    }


def pooled_activations(
    network: FusionNetwork,
    images: Tensor,
    split: str,
    device: torch.device,
    precision: torch.dtype,
    kept: Kept | None,
    say: Progress,
) -> Tensor:
    """Pooled activations float32 [N, D] of a split's images, in eval mode, on the CPU."""
    if kept is None:
        return _pooled(network, images, device, precision, say)
    key = _key(network, precision, kept, kept.training_set / f"images-{split}.npy")
    staged = kept.cache.staging()
    file = staged / "activations"
    try:
        if kept.cache.get(key, {file.name: file}) is None:
            with file.open("wb") as sink:
                np.save(sink, _pooled(network, images, device, precision, say).numpy())
            entry = kept.cache.put(key, staged, [file.name], StepResult(values={"images": len(images)}))
            kept.cache.deliver(entry, {file.name: file})
        with file.open("rb") as source:
            return torch.from_numpy(np.load(source, allow_pickle=False))
    finally:
        shutil.rmtree(staged, ignore_errors=True)


@torch.no_grad()
def _pooled(
    network: FusionNetwork, images: Tensor, device: torch.device, precision: torch.dtype, say: Progress
) -> Tensor:
    network.eval()
    step, parts = batch_within(images), []
    for start in range(0, len(images), step):
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            parts.append(network.pooled(images[start : start + step].to(device)).float().cpu())
        say("activations of the frozen backbone", min(start + step, len(images)), len(images))
    return torch.cat(parts)


def _key(network: FusionNetwork, precision: torch.dtype, kept: Kept, images: Path) -> Key:
    about = {**network.architecture, "classes": 0, "precision": str(precision), "weights": kept.weights}
    library, packages = reached_by(Path(__file__), kept.cache.memo)
    return Key(
        task=_TASK,
        code=code_digest(Path(__file__)),
        library=library,
        packages=packages,
        environment=environment_digest(),
        parameters={"network": value_digest(about)},
        inputs={"images": file_digest(images, kept.cache.memo)},
    )
