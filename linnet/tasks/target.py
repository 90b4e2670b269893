"""What a label is: a text wherever people and tables meet it, an array where a network learns from it.

One text a label, so that it goes as one value through the sample table, the label table, the feature
store, the prediction log and the feedback; equal labels are equal texts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from linnet.config import DataConfig
from linnet.tasks.parts import part

DYNAMIC_IMPORTS = ("linnet.tasks.*.target",)
Targets = npt.NDArray[Any]
"""One row per sample: what it is depends on the task."""


COCO_MASK = "segmentation"
"""Where an annotation of COCO has its polygons or runs."""
Cohorts = dict[str, npt.NDArray[np.str_]]
"""Values [N] by cohort column."""
Object = tuple[str, Mapping[str, Any]]
"""A class, and where it is, as an annotation of COCO says it: `bbox` or `segmentation`, in pixels."""


class UnknownClass(ValueError):
    """A label names a class that is none of those given."""

    def __init__(self, row: int, name: str) -> None:
        super().__init__(f"row {row} names {name!r}")
        self.row, self.name = row, name


def rarest_classes(there: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """The rarest class that each sample has, of [N, K]; K where it has none: [N]."""
    samples, classes = there.shape
    if not samples or not classes:
        return np.zeros(samples, np.int64)
    rarity = np.where(there, there.sum(axis=0, dtype=np.int64), np.iinfo(np.int64).max)
    rarest: npt.NDArray[np.int64] = np.where(there.any(axis=1), rarity.argmin(axis=1), classes)
    return rarest.astype(np.int64)


OBJECT_SIZE = "object_size"
"""Cohort column of how large the smallest thing in an image is."""
_SIZES = (0.02, "under 2 %"), (0.1, "2 to 10 %"), (np.inf, "10 % and more")


def by_size(shares: npt.NDArray[np.floating[Any]]) -> Cohorts:
    """Images by the share [N] of each that its smallest object takes; NaN where it has none."""
    bounds = [bound for bound, _ in _SIZES[:-1]]
    names = np.array([*(name for _, name in _SIZES), "no object"])
    places = np.where(np.isfinite(shares), np.searchsorted(bounds, shares, side="right"), len(_SIZES))
    return {OBJECT_SIZE: names[places]}


class Target(Protocol):
    """The labels of a task."""

    several: bool
    """Whether an image may have several classes, so that a table may have several rows of one image."""

    spatial: bool
    """Whether a label says where in the image its classes are, so that names alone make none."""

    mark: str
    """Where an annotation of COCO says so: its key; empty: it is not asked where."""

    gates: str
    """The gates of a new config, as lines of TOML; empty: what the data can show."""

    training: str
    """The training of a new config, likewise; empty: as the presets have it."""

    def check(self, config: DataConfig) -> None:
        """Refuses settings under which this task's labels would not fit their images.

        Raises:
            ConfigError: names the setting.
        """

    def read(self, cell: Any) -> str:
        """The label in a table's cell or a message, its classes as they stand there.

        Raises:
            ValueError: what is there instead, such as no label.
        """

    def renamed(self, label: str, name_of: Callable[[str], str]) -> str:
        """The label with each class called otherwise."""

    def joined(self, labels: Sequence[str]) -> str:
        """One label with all that several say; only where an image may have several classes.

        Raises:
            ValueError: they cannot be one label.
        """

    def problem_of(self, name: str) -> str:
        """Why a class cannot be called so; empty: it can."""

    def cell(self, label: str) -> str:
        """What `read` takes for this label, for tables that are written."""

    def label(self, names: Sequence[str]) -> str:
        """The text of a label of these classes.

        Raises:
            ValueError: names alone make none (`spatial`).
        """

    def of_objects(self, objects: Sequence[Object], height: int, width: int) -> str:
        """The label of an image of that size in which these objects are marked; of none: nothing is there.

        Raises:
            ValueError: what is wrong with them, such as that they do not say where.
        """

    def misfit(self, label: str, height: int, width: int) -> str:
        """Why it can be no label of an image of that size; empty: it can."""

    def classes(self, label: str) -> tuple[str, ...]:
        """The classes in a label's text, or in the `cell` of one."""

    def known(self, labels: Sequence[str], classes: Sequence[str]) -> list[str]:
        """Of the labels that a table holds, those that are made of known classes; more may be given."""

    def encode(self, labels: Sequence[str], classes: Sequence[str], height: int, width: int) -> Targets:
        """Labels as an array with N rows, of images that were brought to that size.

        Raises:
            UnknownClass: a label names another class.
        """

    def decode(self, row: Any, classes: Sequence[str]) -> str:
        """The label of one row of such an array."""

    def problem(self, targets: Targets, classes: int) -> str:
        """Why an array that was read cannot be of labels of so many classes; empty: it can."""

    def groups(self, targets: Targets) -> npt.NDArray[np.int64]:
        """A class a sample, so that all classes can be spread evenly: [N]."""

    def matrix(self, targets: Targets, classes: int) -> npt.NDArray[np.bool_]:
        """Which classes each sample has: [N, K]."""

    def cohorts(self, targets: Targets) -> Cohorts:
        """Groups of samples by what their labels say of their difficulty; none: they say nothing of it."""

    def counts(self, targets: Targets, classes: int) -> npt.NDArray[np.int64]:
        """Samples that have each class: [K]."""


def target_of(task: str) -> Target:
    """The labels of a task.

    Raises:
        ConfigError: the task is unknown.
    """
    found: Target = part(task, "target").TARGET
    return found
