"""The training set on disk, and the batches a device is fed from it.

Which images make up step `s` of epoch `e` is a function of (seed, e, s) alone; so is how they are
augmented. That is why a resumed run gives the same weights as one that was never interrupted.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from linnet.config import DEFAULT_TASK
from linnet.errors import TrainingError
from linnet.tasks.augment import Augment, augment_of
from linnet.tasks.target import Target, target_of
from linnet.training.augmentation import Augmentation, draw
from linnet.training.mixing import Mixing
from linnet.training.photo_augmentation import PhotoAugmentation

_MAX_MEMORY_SHARE = 0.5
"""A split is read into memory if it takes less than this share of what is free; else it is mapped."""
_PHOTOS, _MIXING = 1, 2
"""Tell the numbers that photos are augmented with, and mixed with, from the other numbers of a step."""
_MIN_STEPS = 16
"""Steps an epoch has at least: the batch of a small dataset is cut down to that."""


@dataclass(frozen=True)
class SplitData:
    """A split: images uint8 [N, H, W, C], features float32 [N, F], labels as `Target.encode` has them."""

    images: Tensor
    features: Tensor
    labels: Tensor
    mapped: bool
    """Whether the images stay on disk and are read batch by batch."""
    pooled: Tensor | None = None
    """What a frozen backbone makes of the images, float32 [N, D] on the CPU, where that is known already."""

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> SplitData:
        """The split on a device."""
        return replace(
            self,
            images=self.images.to(device),
            features=self.features.to(device),
            labels=self.labels.to(device),
            mapped=False,
        )

    def part(self, rows: Tensor) -> SplitData:
        """Some of the samples, in memory."""
        pooled = None if self.pooled is None else self.pooled[rows]
        return SplitData(self.images[rows], self.features[rows], self.labels[rows], False, pooled)


@dataclass(frozen=True)
class TrainingSet:
    """The description in `training_set.json` with the splits that training reads."""

    task: str
    """What is asked of an image."""
    classes: tuple[str, ...]
    features: tuple[str, ...]
    height: int
    width: int
    channels: int
    digest: str
    """Names data and labels: a checkpoint of another dataset is never continued."""
    train: SplitData
    validation: SplitData


def read_training_set(folder: Path) -> TrainingSet:
    """Reads and checks the folder that `build_features` wrote.

    Raises:
        TrainingError: a file is missing or damaged, or the files do not fit together.
    """
    path = folder / "training_set.json"
    try:
        about = json.loads(path.read_text("utf-8"))
        task = str(about.get("task", DEFAULT_TASK))
        classes, features = tuple(about["classes"]), tuple(about["features"])
        shape = (int(about["height"]), int(about["width"]), int(about["channels"]))
        digest = f"{about['dataset_digest']}/{about['labels_digest']}"
    except FileNotFoundError as error:
        raise TrainingError(f"{path}: no such file; give the folder that build_features wrote") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(f"{path}: damaged ({error!r}); build the training set again") from error
    if len(classes) < 2:
        raise TrainingError(f"{path}: names {len(classes)} class(es); at least 2 are needed to train")
    if min(shape[:2]) < 8 or shape[2] not in (1, 3):
        raise TrainingError(
            f"{path}: images are {shape[0]} x {shape[1]} x {shape[2]}; the network takes at least 8 x 8 "
            "pixels in 1 or 3 channels; set data.height and data.width"
        )
    train, validation = (
        _read_split(folder, split, shape, len(features), len(classes), target_of(task))
        for split in ("train", "validation")
    )
    return TrainingSet(task, classes, features, *shape, digest=digest, train=train, validation=validation)


def _read_split(
    folder: Path, split: str, shape: tuple[int, int, int], features: int, classes: int, target: Target
) -> SplitData:
    images, mapped = _read_images(folder / f"images-{split}.npy")
    values = _read_array(folder / f"features-{split}.npy")
    labels = _read_array(folder / f"labels-{split}.npy")
    count = len(labels)
    _expect(folder / f"images-{split}.npy", images, "uint8", (count, *shape))
    _expect(folder / f"features-{split}.npy", values, "float32", (count, features))
    if count == 0:
        raise TrainingError(f"{folder}: the {split} split is empty; add images or lower the other fractions")
    if problem := target.problem(labels, classes):
        raise TrainingError(f"{folder / f'labels-{split}.npy'}: {problem}; build the training set again")
    if not np.isfinite(values).all():
        row = int(np.argmin(np.isfinite(values).all(axis=1)))
        raise TrainingError(f"{folder / f'features-{split}.npy'}: row {row} is not finite; build it again")
    return SplitData(_as_tensor(images), torch.from_numpy(values), torch.from_numpy(labels), mapped=mapped)


def _as_tensor(array: np.ndarray[Any, Any]) -> Tensor:
    """A tensor that shares the array's memory; a mapped array is opened copy-on-write for that."""
    return torch.from_numpy(array)


def _read_images(path: Path) -> tuple[np.ndarray[Any, Any], bool]:
    try:
        fits = path.stat().st_size < _MAX_MEMORY_SHARE * _free_memory()
    except OSError as error:
        raise TrainingError(f"{path}: no such file; build the training set again") from error
    return _read_array(path, None if fits else "c"), not fits


def _read_array(path: Path, mode: Any = None) -> np.ndarray[Any, Any]:
    try:
        array: np.ndarray[Any, Any] = np.load(path, mmap_mode=mode, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise TrainingError(f"{path}: cannot be read ({error}); build the training set again") from error
    return array


def _expect(path: Path, array: np.ndarray[Any, Any], kind: str, shape: tuple[int, ...]) -> None:
    if array.dtype != kind or array.shape != shape:
        raise TrainingError(
            f"{path}: holds {array.dtype} {list(array.shape)}, but {kind} {list(shape)} was expected; "
            "build the training set again"
        )


def _free_memory() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Batch:
    """What one step sees, on the device."""

    images: Tensor
    features: Tensor
    labels: Tensor
    """As the split has them; of mixed images float32 [N, K], the share of each class."""


@dataclass(frozen=True)
class Batches:
    """The training batches of every epoch, for one of `processes` that train together.

    The order and the augmentation of the whole batch are drawn alike in every process; each takes
    its own equal share. Images that do not fill the last batch wait for another epoch's order.
    """

    data: SplitData
    batch_size: int
    augmentation: Augmentation
    seed: int
    device: torch.device
    rank: int = 0
    processes: int = 1
    balanced: bool = False
    """Whether every class is drawn equally often, its images with replacement."""
    photos: PhotoAugmentation | None = None
    """How images are augmented as photos are, besides `augmentation`."""
    mixing: Mixing | None = None
    """How the images of a batch are mixed; each process mixes those of its own share."""
    augment: Augment = field(default_factory=lambda: augment_of(DEFAULT_TASK))
    """How labels move with their images."""

    @property
    def size(self) -> int:
        """Images a step over all processes: at most the wanted size, and 16 steps an epoch."""
        wanted = min(self.batch_size, max(len(self.data) // _MIN_STEPS, 8), len(self.data))
        return max(wanted // self.processes, 1) * self.processes

    @property
    def steps(self) -> int:
        """Steps an epoch."""
        return len(self.data) // self.size

    def epoch(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch (counted from 0), fetched ahead where fetching takes time."""
        waits = self.data.mapped or self.data.images.device != self.device
        return _ahead(self._epoch(epoch)) if waits else self._epoch(epoch)

    def _epoch(self, epoch: int) -> Iterator[Batch]:
        order = self._order(generator(self.seed, epoch))
        for step in range(self.steps):
            chosen = order[step * self.size : (step + 1) * self.size]
            drawn = draw(self.augmentation, chosen, epoch, generator(self.seed, epoch, step + 1))
            mine = slice(self.rank, None, self.processes)
            batch = self._fetch(chosen[mine])
            own = drawn.part(mine)
            images, labels = own.apply(batch.images), self.augment.moved(batch.labels, own.moves)
            if self.photos:
                numbers = generator(self.seed, epoch, step + 1, _PHOTOS)
                seeds = torch.randint(0, 1 << 62, (len(chosen),), generator=numbers)
                images = self.photos.apply(images, seeds[mine])
            if self.mixing:
                numbers = generator(self.seed, epoch, step + 1, _MIXING, self.rank)
                seed = int(torch.randint(0, 1 << 62, (), generator=numbers))
                yield Batch(*self.mixing.apply(images, batch.features, labels, seed))
            else:
                yield Batch(images, batch.features, labels)

    def _order(self, numbers: torch.Generator) -> Tensor:
        if not self.balanced:
            return torch.randperm(len(self.data), generator=numbers)
        labels = self.data.labels.cpu()
        share = 1 / torch.bincount(labels).clamp_min(1).double()[labels]
        # Inverse transform sampling: multinomial takes no more than 2^24 categories.
        ladder = share.cumsum(0)
        drawn = torch.rand(len(labels), generator=numbers, dtype=torch.float64) * ladder[-1]
        return torch.searchsorted(ladder, drawn, right=True).clamp_max(len(labels) - 1)

    def _fetch(self, chosen: Tensor) -> Batch:
        if self.data.images.device == self.device:
            chosen = chosen.to(self.device)
        parts = (self.data.images[chosen], self.data.features[chosen], self.data.labels[chosen])
        if self.device.type == "cuda" and parts[0].device.type == "cpu":
            parts = tuple(part.pin_memory().to(self.device, non_blocking=True) for part in parts)  # type: ignore[assignment]
        return Batch(*parts)


def generator(*key: int) -> torch.Generator:
    """A CPU generator whose numbers are a function of `key`, such as (seed, epoch, step)."""
    state = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(state >> np.uint64(1)))


def _ahead(batches: Iterator[Batch], depth: int = 2) -> Iterator[Batch]:
    """Fetches up to `depth` batches in a thread while the device is busy with the present one."""
    ready: queue.Queue[Batch | BaseException | None] = queue.Queue(depth)
    stop = threading.Event()

    def put(item: Batch | BaseException | None) -> None:
        while not stop.is_set():
            with contextlib.suppress(queue.Full):
                ready.put(item, timeout=0.1)
                return

    def fetch() -> None:
        try:
            for batch in batches:
                put(batch)
                if stop.is_set():
                    return
            put(None)
        except BaseException as error:  # noqa: BLE001  raised again where the batches are used
            put(error)

    thread = threading.Thread(target=fetch, daemon=True, name="linnet-batches")
    thread.start()
    try:
        while (item := ready.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        stop.set()
        thread.join()
