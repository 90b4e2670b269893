"""The head alone: logistic regression on the activations of a frozen backbone, and image statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from linnet.training.progress import Progress
from linnet.vision.fusion import FusionNetwork

_STRENGTHS = (1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)
"""Ridge penalties that are tried, over the number of images; 1 is the default of scikit-learn."""
_ITERATIONS = 100
_WORTH_THREADS = 8_000_000
"""Values from which several threads pay: on a busy machine waiting for one another costs many times more."""


@dataclass(frozen=True)
class Activations:
    """What the head sees of a split: embedding float32 [N, D] and labels int64 [N]."""

    embedding: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Probe:
    """The penalty that served the validation split best, and what came of it."""

    penalty: float
    loss: float
    """Mean cross-entropy of the training images."""
    train_accuracy: float


@torch.no_grad()
def activations(network: FusionNetwork, pooled: Tensor, features: Tensor, labels: Tensor) -> Activations:
    """Pooled activations [N, D'] with the encoded statistics beside them, on the CPU."""
    device = network.head.weight.device
    _, embedding = network.classify(pooled.to(device), features.to(device))
    return Activations(embedding.float().cpu(), labels.cpu())


def fit_head(
    network: FusionNetwork, train: Activations, validation: Activations, weights: Tensor | None, say: Progress
) -> Probe:
    """Sets the network's head to the logistic regression that gives the validation split the lowest loss.

    The problem is convex and is solved over all images at once (L-BFGS), from the strongest penalty to
    the weakest: the result depends on no seed. `weights` float32 [K] weigh the classes.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if train.embedding.numel() < _WORTH_THREADS else threads)
    try:
        return _fit_head(network, train, validation, weights, say)
    finally:
        torch.set_num_threads(threads)


def _fit_head(
    network: FusionNetwork, train: Activations, validation: Activations, weights: Tensor | None, say: Progress
) -> Probe:
    mean = train.embedding.mean(dim=0)
    deviation = train.embedding.std(dim=0)
    scale = torch.where(deviation > 1e-6, 1 / deviation.clamp_min(1e-6), 0.0)
    x, held_out = ((part.embedding - mean) * scale for part in (train, validation))
    weights = None if weights is None else weights.cpu()
    matrix = torch.zeros(network.head.out_features, x.shape[1], requires_grad=True)
    offset = torch.zeros(network.head.out_features, requires_grad=True)
    best, chosen = math.inf, (matrix.detach().clone(), offset.detach().clone(), 0.0)
    for done, strength in enumerate(_STRENGTHS, start=1):
        _solve(matrix, offset, x, train.labels, strength / len(x), weights)
        with torch.no_grad():
            loss = float(functional.cross_entropy(held_out @ matrix.T + offset, validation.labels))
        if loss < best:
            best, chosen = loss, (matrix.detach().clone(), offset.detach().clone(), strength)
        say("head on the frozen backbone", done, len(_STRENGTHS))
    matrix_, offset_, strength = chosen
    logits = x @ matrix_.T + offset_
    with torch.no_grad():  # the standardising constants become part of the head
        network.head.weight.copy_(matrix_ * scale)
        network.head.bias.copy_(offset_ - (matrix_ * scale) @ mean)
    right = float((logits.argmax(dim=1) == train.labels).float().mean())
    return Probe(strength, float(functional.cross_entropy(logits, train.labels)), right)


def _solve(
    matrix: Tensor, offset: Tensor, x: Tensor, labels: Tensor, penalty: float, weights: Tensor | None
) -> None:
    """Minimises mean cross-entropy plus half the penalty times the squared weights, in place."""
    solver = torch.optim.LBFGS(
        [matrix, offset], max_iter=_ITERATIONS, tolerance_change=1e-7, line_search_fn="strong_wolfe"
    )

    def loss() -> Tensor:
        solver.zero_grad()
        losses = functional.cross_entropy(x @ matrix.T + offset, labels, reduction="none")
        fit = losses.mean() if weights is None else (losses * weights[labels]).mean()
        total = fit + 0.5 * penalty * matrix.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    solver.step(loss)  # type: ignore[no-untyped-call]
