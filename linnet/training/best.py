"""The best weights so far, by a validation result, and when to stop waiting for better ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from linnet.config import TrainConfig


class Best:
    """Keeps the best epoch's weights; without `patience` it keeps nothing, and training runs to its end."""

    def __init__(self, config: TrainConfig) -> None:
        self._patience, self._metric = config.patience, f"validation_{config.watch}"
        self._value, self._waited = -1.0, 0
        self._weights: dict[str, Tensor] = {}

    def see(self, row: dict[str, float], network: nn.Module) -> None:
        """Takes in an epoch: its measurements, and the network that is worth keeping."""
        if not self._patience:
            return
        if row[self._metric] > self._value:
            self._value, self._waited = row[self._metric], 0
            self._weights = {
                name: value.detach().cpu().clone() for name, value in network.state_dict().items()
            }
        else:
            self._waited += 1

    @property
    def enough(self) -> bool:
        """Whether nothing got better for `patience` epochs."""
        return bool(self._patience) and self._waited >= self._patience

    @torch.no_grad()
    def restore(self, network: nn.Module) -> None:
        """Gives the network the best weights, if any were kept."""
        if self._weights:
            network.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        """Everything that must survive an interruption."""
        return {"value": self._value, "waited": self._waited, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self._value, self._waited, self._weights = state["value"], state["waited"], state["weights"]
