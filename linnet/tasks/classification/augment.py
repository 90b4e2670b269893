"""What an image shows stays the same wherever in it that is."""

from __future__ import annotations

from torch import Tensor

from linnet.tasks.augment import Augment, Moves


class _Unmoved:
    def moved(self, targets: Tensor, moves: Moves) -> Tensor:  # noqa: ARG002
        return targets


AUGMENT: Augment = _Unmoved()
