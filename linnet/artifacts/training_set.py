"""Reads the held-out splits that `build_features` wrote, without loading what is not needed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from linnet.artifacts.windows import DATASET, SOURCE
from linnet.errors import DataError, StorageError
from linnet.records import Split, TrainingSetManifest
from linnet.tasks.target import Targets, target_of


@dataclass(frozen=True)
class HeldOut:
    """One split, N samples; `images` is memory-mapped."""

    task: str
    classes: tuple[str, ...]
    feature_names: tuple[str, ...]
    images: npt.NDArray[np.uint8]
    """[N, H, W, C]"""
    labels: Targets
    """As `Target.encode` has them."""
    features: npt.NDArray[np.float32]
    """[N, F]"""
    ids: tuple[str, ...]
    cohorts: dict[str, npt.NDArray[np.str_]]
    fit: str = "squash"
    """How images of another shape were brought to height and width."""

    def __len__(self) -> int:
        return len(self.labels)

    def part(self, start: int, stop: int) -> HeldOut:
        """The samples [start, stop); nothing is copied."""
        rows = slice(start, stop)
        return replace(
            self,
            images=self.images[rows],
            labels=self.labels[rows],
            features=self.features[rows],
            ids=self.ids[rows],
            cohorts={name: values[rows] for name, values in self.cohorts.items()},
        )

    @property
    def truth(self) -> list[str]:
        """The label of each sample as it is written: [N]."""
        target = target_of(self.task)
        return [target.decode(row, self.classes) for row in self.labels]

    @property
    def dataset_samples(self) -> int:
        """How many samples are the dataset's own; those of production windows come after them."""
        source = self.cohorts.get(SOURCE)
        return len(self) if source is None else int((source == DATASET).sum())


def read_split(folder: Path, split: Split) -> HeldOut:
    """The samples of `split`, checked to be of one length.

    Raises:
        DataError: a file is missing or damaged, or the files of the split do not fit each other.
    """
    remedy = "build the features again"
    try:
        about = TrainingSetManifest.load(folder / "training_set.json")
        with np.load(folder / f"cohorts-{split}.npz") as stored:
            cohorts = {name: stored[name] for name in sorted(stored.files)}
        found = HeldOut(
            task=about.task,
            classes=about.classes,
            feature_names=about.features,
            images=np.load(folder / f"images-{split}.npy", mmap_mode="r"),
            labels=np.load(folder / f"labels-{split}.npy"),
            features=np.load(folder / f"features-{split}.npy"),
            ids=tuple(name.decode() for name in np.load(folder / f"ids-{split}.npy").tolist()),
            cohorts=cohorts,
            fit=about.fit,
        )
    except FileNotFoundError as error:
        raise DataError(str(folder), f"{error.filename} is missing from the training set", remedy) from error
    except (StorageError, OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(str(folder), f"the {split} split cannot be read ({error})", remedy) from error
    lengths = {len(found.images), len(found.labels), len(found.features), len(found.ids)}
    lengths |= {len(values) for values in cohorts.values()}
    if len(lengths) != 1:
        raise DataError(str(folder), f"the files of the {split} split hold {sorted(lengths)} samples", remedy)
    if problem := target_of(about.task).problem(found.labels, len(found.classes)):
        raise DataError(str(folder), f"the file labels-{split}.npy {problem}", remedy)
    return found
