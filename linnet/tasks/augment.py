"""How a target moves with its image: torch, and no server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from linnet.tasks.parts import part

DYNAMIC_IMPORTS = ("linnet.tasks.*.augment",)


@dataclass(frozen=True)
class Moves:
    """What was done to the pixels of N images: first mirrored, then shifted."""

    height: int
    width: int
    mirrored: Tensor | None
    """bool [N]: left and right are swapped."""
    shift: Tensor | None
    """int64 [N, 2]: pixels down and to the right; what leaves the image is gone."""


class Augment(Protocol):
    """The targets of a task, as `Target.encode` has them, as tensors."""

    def moved(self, targets: Tensor, moves: Moves) -> Tensor:
        """The targets of the moved images."""


def augment_of(task: str) -> Augment:
    """How the targets of a task move.

    Raises:
        ConfigError: the task is unknown.
    """
    found: Augment = part(task, "augment").AUGMENT
    return found
