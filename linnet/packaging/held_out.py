"""The test split as packaging needs it: images, features and labels of the training set's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from linnet.artifacts.onnx_model import Floats, Images
from linnet.errors import DataError, StorageError
from linnet.records import TrainingSetManifest
from linnet.tasks.target import Targets


@dataclass(frozen=True)
class TestSplit:
    """N test samples with what the training set says of itself; `images` is memory-mapped."""

    __test__ = False  # pytest: this is no test

    about: TrainingSetManifest
    images: Images
    """uint8 [N, H, W, C]"""
    features: Floats
    """float32 [N, F]"""
    labels: Targets
    """As `Target.encode` has them."""


def read_test_split(folder: Path) -> TestSplit:
    """The test split of the training set in `folder`.

    Raises:
        DataError: a file is missing or damaged, or the split is empty.
    """
    remedy = "build the features again"
    try:
        split = TestSplit(
            about=TrainingSetManifest.load(folder / "training_set.json"),
            images=np.load(folder / "images-test.npy", mmap_mode="r"),
            features=np.load(folder / "features-test.npy"),
            labels=np.load(folder / "labels-test.npy"),
        )
    except (StorageError, OSError, ValueError) as error:
        raise DataError(str(folder), f"the test split cannot be read ({error})", remedy) from error
    if not len(split.labels) or not len(split.images) == len(split.features) == len(split.labels):
        raise DataError(str(folder), "the test split is empty, or its files do not fit each other", remedy)
    return split


def golden_rows(labels: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.int64]:
    """Rows of at least min(count, N) samples spread over all classes, the same each time; ascending."""
    classes = np.unique(labels)
    share = -(-count // len(classes))
    chosen = np.concatenate([np.flatnonzero(labels == value)[:share] for value in classes])
    missing = min(count, len(labels)) - len(chosen)
    if missing > 0:  # some classes have fewer samples than their share
        chosen = np.concatenate([chosen, np.setdiff1d(np.arange(len(labels)), chosen)[:missing]])
    rows: npt.NDArray[np.int64] = np.sort(chosen).astype(np.int64)
    return rows
