"""How weights move: the course of the learning rate, Muon for convolutions, Nesterov SGD for the rest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from linnet.config import TrainConfig
from linnet.training.device import computes_bf16

_RISE = 0.2
"""Share of the steps over which the one-cycle schedule rises."""
_MUON_MOMENTUM = 0.6
_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration (Jordan et al., "Muon", 2024)."""


def learning_rate_factor(schedule: str, step: int, steps: int, warm_up: float = 0.05) -> float:
    """The share of the peak learning rate at a step counted from 0; above 0 at every step.

    `warm_up` is the share of the steps over which the cosine schedule rises.
    """
    done = (step + 1) / (steps + 1)
    rise = _RISE if schedule == "onecycle" else warm_up
    if done < rise:
        return done / rise
    left = (1 - done) / (1 - rise)
    return left if schedule == "onecycle" else 0.5 - 0.5 * math.cos(math.pi * left)


class Optimizer:
    """All weights of a network under one `step`.

    With `optimizer = "muon"` the inner convolutions move by orthogonalized momentum; their norm is
    held constant, which batch normalization makes harmless. Everything else moves by AdamW if that is
    asked for, and by SGD with Nesterov momentum if not. Norms and biases do not decay. `scales` gives,
    by name, the weights that move at a share of the learning rate.
    """

    def __init__(
        self, network: nn.Module, config: TrainConfig, scales: Mapping[str, float] | None = None
    ) -> None:
        named = [(name, weight) for name, weight in network.named_parameters() if weight.requires_grad]
        self.inner = [
            weight
            for name, weight in named
            if config.optimizer == "muon" and weight.ndim == 4 and not name.startswith("stem")
        ]
        own = {id(weight) for weight in self.inner}
        groups = _groups([(n, w) for n, w in named if id(w) not in own], config.weight_decay, scales or {})
        self.rest: torch.optim.Optimizer = (
            torch.optim.AdamW(groups, lr=config.learning_rate, foreach=True)
            if config.optimizer == "adamw"
            else torch.optim.SGD(
                groups, lr=config.learning_rate, momentum=config.momentum, nesterov=True, foreach=True
            )
        )
        self.momenta = [torch.zeros_like(weight) for weight in self.inner]
        device = self.inner[0].device if self.inner else torch.device("cpu")
        self.precision = torch.bfloat16 if computes_bf16(device) else torch.float32
        self.config = config

    def step(self, factor: float) -> None:
        """Moves all weights by their gradients at `factor` times the peak learning rate, then drops these."""
        for group in self.rest.param_groups:
            group["lr"] = self.config.learning_rate * factor * group["scale"]
        self.rest.step()
        for weight, momentum in zip(self.inner, self.momenta, strict=True):
            self._orthogonal_step(weight, momentum, self.config.muon_learning_rate * factor)
        self.rest.zero_grad(set_to_none=True)
        for weight in self.inner:
            weight.grad = None

    @torch.no_grad()
    def _orthogonal_step(self, weight: Tensor, momentum: Tensor, rate: float) -> None:
        assert weight.grad is not None
        momentum.mul_(_MUON_MOMENTUM).add_(weight.grad)
        direction = weight.grad.add(momentum, alpha=_MUON_MOMENTUM)
        weight.mul_(len(weight) ** 0.5 / weight.norm().clamp_min(1e-7))
        turned = orthogonalize(direction.flatten(1), self.precision)
        weight.add_(turned.view_as(weight), alpha=-rate)

    def state_dict(self) -> dict[str, Any]:
        """Everything that must survive an interruption."""
        return {"rest": self.rest.state_dict(), "momenta": self.momenta}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave."""
        self.rest.load_state_dict(state["rest"])
        for mine, saved in zip(self.momenta, state["momenta"], strict=True):
            mine.copy_(saved)


def _groups(
    named: list[tuple[str, nn.Parameter]], decay: float, scales: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Groups of weights that share a learning rate, those that decay and those that do not."""
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
    for name, weight in named:
        groups.setdefault((scales.get(name, 1.0), weight.ndim > 1), []).append(weight)
    return [
        {"params": weights, "weight_decay": decay if decays else 0.0, "scale": scale}
        for (scale, decays), weights in groups.items()
    ]


def orthogonalize(matrix: Tensor, precision: torch.dtype = torch.bfloat16, iterations: int = 5) -> Tensor:
    """A matrix [m, n] with the same singular vectors and singular values near 1 (0.7 to 1.2).

    Newton-Schulz iteration, which needs no decomposition (Jordan et al., "Muon", 2024). bfloat16 is
    precise enough for it; a device that has to emulate it is several times faster in float32.
    """
    a, b, c = _NEWTON_SCHULZ
    tall = matrix.shape[0] > matrix.shape[1]
    x = (matrix.T if tall else matrix).to(precision)
    x = x / (x.norm() + 1e-7)
    for _ in range(iterations):
        gram = x @ x.T
        x = a * x + (b * gram + c * (gram @ gram)) @ x
    result: Tensor = (x.T if tall else x).to(matrix.dtype)
    return result
