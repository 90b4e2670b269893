"""A label is a set of classes: `Bag|Coat` as text, uint8 [N, K] of 0 and 1 in arrays.

The text is sorted and joined by `|`, which no class name may hold then: as in many a table of several
labels an image. No class is an empty text, which only a list says (`[]`): an empty cell may be a mistake.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.config import DataConfig, problem_of
from linnet.tasks.target import Cohorts, Object, Target, Targets, UnknownClass, rarest_classes

BETWEEN = "|"
"""Between the classes of a label."""
NONE = "[]"
"""No class, where an empty text would say that there is no label."""


class _Classes:
    spatial = False
    mark = ""
    several = True
    gates = """\
min_accuracy = 0.4  # mean overlap of the named and the true classes
min_macro_f1 = 0.4
min_micro_f1 = 0.4
min_map = 0.4
min_worst_recall = 0.0  # a rare class may have too few test images for a floor
max_ece = 0.1
max_cohort_gap = 0.35
"""
    training = ""

    def check(self, config: DataConfig) -> None:
        """Every setting suits it."""

    def read(self, cell: Any) -> str:
        if isinstance(cell, list | tuple | np.ndarray):
            return self._listed(cell)
        text = "" if cell is None else str(cell).strip()
        if text.startswith("["):
            try:
                listed = json.loads(text)
            except ValueError as error:
                raise ValueError(f"the label {text[:60]!r}, which begins as a list and is no JSON") from error
            return self._listed(listed)
        if not text:
            raise ValueError("no label; write [] where it shows none of the classes")
        return self._listed(text.split(BETWEEN))

    def _listed(self, items: Iterable[Any]) -> str:
        listed = list(items)
        if not all(isinstance(name, str) for name in listed):
            raise ValueError(f"the label {str(listed)[:60]!r}, whose items are no texts")
        names = [name.strip() for name in listed]
        for name in names:
            if problem := problem_of(name) or self.problem_of(name):
                raise ValueError(f"the label {name[:60]!r}, which {problem}")
        return self.label(names)

    def renamed(self, label: str, name_of: Callable[[str], str]) -> str:
        return self.label([name_of(name) for name in self.classes(label)])

    def joined(self, labels: Sequence[str]) -> str:
        return self.label([name for label in labels for name in self.classes(label)])

    def problem_of(self, name: str) -> str:
        if name == NONE:
            return "means that an image shows none of the classes"
        return f"holds a {BETWEEN}, which stands between classes" if BETWEEN in name else ""

    def cell(self, label: str) -> str:
        return label or NONE

    def label(self, names: Sequence[str]) -> str:
        return BETWEEN.join(sorted(set(names)))

    def classes(self, label: str) -> tuple[str, ...]:
        return () if label in ("", NONE) else tuple(label.split(BETWEEN))

    def of_objects(self, objects: Sequence[Object], height: int, width: int) -> str:  # noqa: ARG002
        return self.label([name for name, _ in objects])

    def misfit(self, label: str, height: int, width: int) -> str:  # noqa: ARG002
        return ""

    def known(self, labels: Sequence[str], classes: Sequence[str]) -> list[str]:
        return [label for label in labels if set(self.classes(label)) <= set(classes)]

    def encode(
        self,
        labels: Sequence[str],
        classes: Sequence[str],
        height: int,  # noqa: ARG002
        width: int,  # noqa: ARG002
    ) -> Targets:
        index = {name: number for number, name in enumerate(classes)}
        found = np.zeros((len(labels), len(classes)), np.uint8)
        for row, label in enumerate(labels):
            for name in self.classes(label):
                if name not in index:
                    raise UnknownClass(row, name)
                found[row, index[name]] = 1
        return found

    def decode(self, row: Any, classes: Sequence[str]) -> str:
        return self.label([classes[k] for k in np.flatnonzero(row).tolist()])

    def problem(self, targets: Targets, classes: int) -> str:
        if targets.dtype != np.uint8 or targets.ndim != 2 or targets.shape[1] != classes:
            return (
                f"{targets.dtype} {list(targets.shape)} do not say which of {classes} classes each image has"
            )
        return "holds a value that is neither 0 nor 1" if targets.size and int(targets.max()) > 1 else ""

    def groups(self, targets: Targets) -> npt.NDArray[np.int64]:
        """The rarest class that a sample has; one more than the last class where it has none."""
        return rarest_classes(targets > 0)

    def matrix(self, targets: Targets, classes: int) -> npt.NDArray[np.bool_]:  # noqa: ARG002
        return targets > 0

    def cohorts(self, targets: Targets) -> Cohorts:  # noqa: ARG002
        return {}

    def counts(self, targets: Targets, classes: int) -> npt.NDArray[np.int64]:  # noqa: ARG002
        counts: npt.NDArray[np.int64] = targets.sum(axis=0, dtype=np.int64)
        return counts


TARGET: Target = _Classes()
