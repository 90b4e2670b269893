"""Why a model said what it said: which pixels mattered, and which training images look alike to it.

Saliency by occlusion (Zeiler and Fergus 2014, arXiv 1311.2901): a patch is covered with the image's
mean color, and the fall of the class's probability is that patch's weight. It asks the packaged model, the
very artifact that serves, features included; gradients (Captum) would need the network before its
export, which a registry does not keep.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.artifacts.onnx_model import PackagedModel
from linnet.artifacts.training_set import HeldOut, read_split
from linnet.storage.files import replacing
from linnet.tasks.target import target_of
from linnet.vision.decode import color_of, encode_png, resize
from linnet.vision.thumbnail import thumbnail

Pixels = npt.NDArray[np.uint8]
_GRID = 12
"""Patches along the longer side, overlapping by half."""
_SHOWN = 112
_MOST_NEIGHBOURS_OF = 5_000
"""Training images that neighbors are looked for among; a fixed sample of larger sets."""
_BATCH = 256


def occlusion(model: PackagedModel, image: Pixels, target: int) -> npt.NDArray[np.float32]:
    """How much each pixel of image uint8 [H, W, C] speaks for class `target`: float32 [H, W].

    Values are falls of its probability; below zero, covering the pixel makes the model surer.
    """
    height, width, _ = image.shape
    step = max(1, round(max(height, width) / _GRID))
    size = 2 * step
    mean = image.reshape(-1, image.shape[2]).mean(axis=0).astype(np.uint8)
    corners = [(y, x) for y in range(-step, height, step) for x in range(-step, width, step)]
    covered = np.repeat(image[None], len(corners) + 1, axis=0)
    for index, (y, x) in enumerate(corners, 1):
        covered[index, max(y, 0) : y + size, max(x, 0) : x + size] = mean
    batches = [model.predict(covered[start : start + _BATCH])[0] for start in range(0, len(covered), _BATCH)]
    likely = model.answer.by_class(np.concatenate(batches))[:, target]
    total, count = np.zeros((height, width), np.float32), np.zeros((height, width), np.float32)
    for index, (y, x) in enumerate(corners, 1):
        total[max(y, 0) : y + size, max(x, 0) : x + size] += likely[0] - likely[index]
        count[max(y, 0) : y + size, max(x, 0) : x + size] += 1
    weights: npt.NDArray[np.float32] = (total / np.maximum(count, 1)).astype(np.float32)
    return weights


def heat(image: Pixels, weights: npt.NDArray[np.float32]) -> str:
    """A data URI: the image in gray, blue where pixels speak for the class and orange where against it."""
    gray = image.astype(np.float32).mean(axis=2, keepdims=True)
    strength = weights / max(float(np.abs(weights).max()), 1e-6)
    towards = np.where(
        strength[..., None] >= 0, np.array([40, 120, 255], np.float32), np.array([255, 120, 20], np.float32)
    )
    share = np.abs(strength)[..., None] * 0.75
    mixed = (np.repeat(gray, 3, axis=2) * 0.6 + 60) * (1 - share) + towards * share
    pixels = np.clip(mixed, 0, 255).astype(np.uint8)
    scale = _SHOWN / max(pixels.shape[:2])
    if scale > 1:  # smooth where the picture is small, since a patch is coarser than a pixel
        pixels = resize(pixels, round(pixels.shape[0] * scale), round(pixels.shape[1] * scale), color_of(3))
    return "data:image/png;base64," + base64.b64encode(encode_png(np.ascontiguousarray(pixels))).decode()


@dataclass(frozen=True)
class Neighbor:
    """A training image near another one."""

    sample_id: str
    label: str
    similarity: float
    """Cosine of the embeddings."""
    picture: str


@dataclass(frozen=True)
class Nearest:
    """The training images nearest to an image, of those that were looked through."""

    images: list[Neighbor]
    among: int
    """Training images that were looked through: all, or a fixed sample of them."""
    of: int
    """Training images in all."""


class TrainingIndex:
    """Embeddings of a training set under a packaged model, made once and kept in a file."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], HeldOut]] = {}

    def nearest(
        self, model: PackagedModel, training_set: Path, embedding: npt.NDArray[np.float32], most: int = 6
    ) -> Nearest:
        """The training images whose embeddings point the way of `embedding` float32 [D], the nearest first."""
        vectors, which, split = self._index(model, training_set)
        unit = embedding / max(float(np.linalg.norm(embedding)), 1e-9)
        likeness = vectors @ unit
        found = np.argsort(-likeness, kind="stable")[:most]
        images = [
            Neighbor(
                sample_id=split.ids[which[i]],
                label=target_of(split.task).decode(split.labels[which[i]], split.classes),
                similarity=float(likeness[i]),
                picture=thumbnail(np.asarray(split.images[which[i]])),
            )
            for i in found
        ]
        return Nearest(images, len(which), len(split))

    def _index(self, model: PackagedModel, training_set: Path) -> tuple[Any, Any, HeldOut]:
        place = hashlib.blake2b(str(training_set.resolve()).encode(), digest_size=8).hexdigest()
        key = f"{model.package.model_digest[:20]}-{place}"
        with self._lock:
            if key not in self._kept:
                split = read_split(training_set, "train")
                file = self._folder / f"{key}.npz"
                if not file.exists():
                    self._make(model, split, file)
                with np.load(file) as stored:
                    self._kept[key] = stored["vectors"], stored["which"], split
            return self._kept[key]

    def _make(self, model: PackagedModel, split: HeldOut, file: Path) -> None:
        order = np.random.default_rng(0).permutation(len(split))[:_MOST_NEIGHBOURS_OF]
        which = np.sort(order).astype(np.int64)
        batches = [
            model.predict(np.ascontiguousarray(split.images[which[start : start + _BATCH]]))[1]
            for start in range(0, len(which), _BATCH)
        ]
        vectors = np.concatenate(batches).astype(np.float32)
        vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as scratch, scratch.open("wb") as opened:
            np.savez(opened, vectors=vectors, which=which)
