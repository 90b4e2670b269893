"""Pooled activations of a backbone, computed once and kept by content: training and evaluation share them."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from linnet.cache.digest import file_digest, value_digest
from linnet.cache.key import Key, code_digest, environment_digest, reached_by
from linnet.cache.store import Cache, StepResult
from linnet.progress import Progress
from linnet.vision.fusion import FusionNetwork

_TASK, _FILE = "backbone", "activations"
_IMAGES, _PIXELS = 1000, 1_600_000
"""At most this many images, and pixels (32 images of 224 x 224), go through a network at once."""


@dataclass(frozen=True)
class Kept:
    """Where activations are kept, and the folder of the training set whose images they belong to."""

    cache: Cache
    training_set: Path


def batch_within(images: Tensor | npt.NDArray[np.uint8]) -> int:
    """How many of the images [N, H, W, C] go through a network at once: its activations are much larger."""
    return max(1, min(_IMAGES, _PIXELS // (images.shape[1] * images.shape[2])))


def pooled_activations(
    network: FusionNetwork,
    images: Tensor | npt.NDArray[np.uint8],
    split: str,
    device: torch.device,
    precision: torch.dtype,
    kept: Kept | None,
    say: Progress,
) -> Tensor:
    """Pooled activations float32 [N, D] of a split's images [N, H, W, C], in eval mode, on the CPU."""

    if kept is None:
        return _pooled(network, images, device, precision, say)
    key = _key(network, split, precision, kept)
    found = _find(key, kept.cache)
    if found is None:
        found = _pooled(network, images, device, precision, say)
        _keep(key, kept.cache, found)
    return found


def known_activations(
    network: FusionNetwork, split: str, precision: torch.dtype, kept: Kept | None
) -> Tensor | None:
    """The same from the cache alone; None if nobody computed them."""
    return None if kept is None else _find(_key(network, split, precision, kept), kept.cache)


def _find(key: Key, cache: Cache) -> Tensor | None:
    staged = cache.staging()
    try:
        if cache.get(key, {_FILE: staged / _FILE}) is None:
            return None
        with (staged / _FILE).open("rb") as source:
            return torch.from_numpy(np.load(source, allow_pickle=False))
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def _keep(key: Key, cache: Cache, made: Tensor) -> None:
    staged = cache.staging()
    try:
        with (staged / _FILE).open("wb") as sink:
            np.save(sink, made.numpy())
        cache.put(key, staged, [_FILE], StepResult(values={"images": len(made)}))
    finally:
        shutil.rmtree(staged, ignore_errors=True)


@torch.no_grad()
def _pooled(
    network: FusionNetwork,
    images: Tensor | npt.NDArray[np.uint8],
    device: torch.device,
    precision: torch.dtype,
    say: Progress,
) -> Tensor:
    network.eval()
    step, parts = batch_within(images), []
    for start in range(0, len(images), step):
        chosen = images[start : start + step]
        batch = chosen if isinstance(chosen, Tensor) else torch.from_numpy(np.array(chosen))
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            parts.append(network.pooled(batch.to(device)).float().cpu())
        say("activations of the backbone", min(start + step, len(images)), len(images))
    return torch.cat(parts) if parts else torch.zeros(0, network.pooled_columns)


def _key(network: FusionNetwork, split: str, precision: torch.dtype, kept: Kept) -> Key:
    about = {**network.architecture, "classes": 0, "precision": str(precision)}
    library, packages = reached_by(Path(__file__), kept.cache.memo)
    return Key(
        task=_TASK,
        code=code_digest(Path(__file__)),
        library=library,
        packages=packages,
        environment=environment_digest(),
        parameters={"network": value_digest(about), "weights": _weights_digest(network)},
        inputs={"images": file_digest(kept.training_set / f"images-{split}.npy", kept.cache.memo)},
    )


def _weights_digest(network: FusionNetwork) -> str:
    """Of all that stands before the pooled activations; the head and the encoder do not matter to them."""
    digest = hashlib.blake2b(digest_size=16)
    for name, value in sorted(network.state_dict().items()):
        if not name.startswith(("head.", "encode.", "feature_")):
            digest.update(name.encode() + value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
