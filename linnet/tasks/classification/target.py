"""A label is the name of one class; int64 [N] in arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from linnet.config import DataConfig
from linnet.tasks.target import Cohorts, Object, Target, Targets, UnknownClass


class _OneClass:
    spatial = False
    mark = ""
    several = False
    gates = training = ""

    def check(self, config: DataConfig) -> None:
        """Every setting suits it."""

    def read(self, cell: Any) -> str:
        text = "" if cell is None else str(cell).strip()
        if not text:
            raise ValueError("no label")
        return text

    def renamed(self, label: str, name_of: Callable[[str], str]) -> str:
        return name_of(label)

    def joined(self, labels: Sequence[str]) -> str:
        return self.label(sorted(set(labels)))

    def problem_of(self, name: str) -> str:  # noqa: ARG002
        return ""

    def cell(self, label: str) -> str:
        return label

    def label(self, names: Sequence[str]) -> str:
        [name] = names
        return name

    def classes(self, label: str) -> tuple[str, ...]:
        return (label,)

    def of_objects(self, objects: Sequence[Object], height: int, width: int) -> str:  # noqa: ARG002
        return self.label([name for name, _ in objects])

    def misfit(self, label: str, height: int, width: int) -> str:  # noqa: ARG002
        return ""

    def known(self, labels: Sequence[str], classes: Sequence[str]) -> list[str]:  # noqa: ARG002
        return list(classes)

    def encode(
        self,
        labels: Sequence[str],
        classes: Sequence[str],
        height: int,  # noqa: ARG002
        width: int,  # noqa: ARG002
    ) -> Targets:
        index = {name: number for number, name in enumerate(classes)}
        found = np.fromiter((index.get(label, -1) for label in labels), np.int64, len(labels))
        if (found < 0).any():
            row = int(found.argmin())
            raise UnknownClass(row, labels[row])
        return found

    def decode(self, row: Any, classes: Sequence[str]) -> str:
        return classes[int(row)]

    def problem(self, targets: Targets, classes: int) -> str:
        if targets.dtype != np.int64 or targets.ndim != 1:
            return f"{targets.dtype} {list(targets.shape)} are no class numbers: int64 [N]"
        if len(targets) and not 0 <= int(targets.min()) <= int(targets.max()) < classes:
            return f"holds label {int(targets.max())} or below 0, but there are {classes} classes"
        return ""

    def groups(self, targets: Targets) -> npt.NDArray[np.int64]:
        return targets

    def matrix(self, targets: Targets, classes: int) -> npt.NDArray[np.bool_]:
        matrix: npt.NDArray[np.bool_] = targets[:, None] == np.arange(classes)
        return matrix

    def cohorts(self, targets: Targets) -> Cohorts:  # noqa: ARG002
        return {}

    def counts(self, targets: Targets, classes: int) -> npt.NDArray[np.int64]:
        counts: npt.NDArray[np.int64] = np.bincount(targets, minlength=classes)
        return counts


TARGET: Target = _OneClass()
