"""An exponential moving average of the weights, which ends nearer to the middle of the valley."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class WeightAverage:
    """Averages weights and running statistics by `decay` a step; with decay 0 it is the network itself."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self._source, self._decay = network, decay
        self._average = copy.deepcopy(network) if decay else network
        self._pairs = [
            (mine, theirs)
            for mine, theirs in zip(
                self._average.state_dict().values(), network.state_dict().values(), strict=True
            )
            if mine.is_floating_point()
        ]
        self._steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Takes in the weights after a step; the first steps weigh more, so that the start is forgotten."""
        if not self._decay:
            return
        self._steps += 1
        decay = min(self._decay, self._steps / (self._steps + 10))
        mine, theirs = (list(side) for side in zip(*self._pairs, strict=True))
        torch._foreach_lerp_(mine, theirs, 1 - decay)

    def restart(self) -> None:
        """Takes the weights as they are now for the start of the average."""
        if self._decay:
            self._average.load_state_dict(self._source.state_dict())
            self._steps = 0

    def network(self) -> nn.Module:
        """The network that is worth keeping."""
        return self._average

    def state_dict(self) -> dict[str, Any]:
        """Everything that must survive an interruption."""
        return {"steps": self._steps, "weights": self._average.state_dict() if self._decay else {}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self._steps = state["steps"]
        if self._decay:
            self._average.load_state_dict(state["weights"])
