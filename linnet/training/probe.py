"""The head alone: logistic regression on the activations of a frozen backbone, and image statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from linnet.tasks.model import WholeImage
from linnet.training.parts import even_parts
from linnet.training.progress import Progress
from linnet.vision.fusion import FusionNetwork

_STRENGTHS = (1000.0, 300.0, 100.0, 30.0, 10.0, 3.0, 1.0)
"""Ridge penalties that are tried, over the number of images; 1 is the default of scikit-learn."""
_FOLDS = 5
"""Parts that the penalty is chosen by: the validation split is one, the training split the others."""
_ENOUGH_VALIDATION = 1000
"""Validation images that choose the penalty well by themselves: one part is enough."""
_ITERATIONS, _TOLERANCE = 50, 1e-6
"""Bounds of a solution's precision: the loss of each is about 1."""
_WORTH_THREADS = 8_000_000
"""Values from which several threads pay: on a busy machine waiting for one another costs many times more."""


@dataclass(frozen=True)
class Activations:
    """What the head sees of a split: embedding float32 [N, D] and labels, a row each."""

    embedding: Tensor
    labels: Tensor

    def part(self, rows: Tensor) -> Activations:
        """Some of the images."""
        return Activations(self.embedding[rows], self.labels[rows])

    def with_(self, other: Activations) -> Activations:
        """These images and others."""
        return Activations(
            torch.cat((self.embedding, other.embedding)), torch.cat((self.labels, other.labels))
        )


@dataclass(frozen=True)
class Probe:
    """The penalty that served images best that the head had not seen, and what came of it."""

    penalty: float
    loss: float
    """Mean cross-entropy of the training images."""
    train_accuracy: float
    validation_logits: Tensor
    """float32 [N, K], by a head of the same penalty that learned from the training split alone."""


@torch.no_grad()
def activations(network: FusionNetwork, pooled: Tensor, features: Tensor, labels: Tensor) -> Activations:
    """Pooled activations [N, D'] with the encoded statistics beside them, on the CPU."""
    device = network.head.weight.device
    _, embedding = network.classify(pooled.to(device), features.to(device))
    return Activations(embedding.float().cpu(), labels.cpu())


def fit_head(
    network: FusionNetwork,
    train: Activations,
    validation: Activations,
    weights: Tensor | None,
    say: Progress,
    task: WholeImage,
    *,
    final: bool = False,
) -> Probe:
    """Sets the network's head to a logistic regression; `weights` float32 [K] weigh the classes.

    The penalty is the one with the lowest calibrated loss in a cross-validation, of which the whole
    validation split is one part: by itself a few dozen images choose by chance. With `final` the head then
    learns from both splits, else from the training split alone. The problem is convex and is solved over
    all images at once (L-BFGS), from the strongest penalty to the weakest: the result depends on no seed.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1 if train.embedding.numel() < _WORTH_THREADS else threads)
    try:
        return _fit_head(
            network, train, validation, None if weights is None else weights.cpu(), say, task, final
        )
    finally:
        torch.set_num_threads(threads)


def _fit_head(
    network: FusionNetwork,
    train: Activations,
    validation: Activations,
    weights: Tensor | None,
    say: Progress,
    task: WholeImage,
    final: bool,
) -> Probe:
    classes = network.head.out_features
    # The first problem leaves out the validation split, the others a part of the training split each.
    asked, problems = [validation], [_Ridge(train, classes, weights, task)]
    if len(validation.labels) < _ENOUGH_VALIDATION:
        part = even_parts(task.groups(train.labels), _FOLDS - 1)
        for rows in (part == number for number in range(_FOLDS - 1) if number in part):
            asked.append(train.part(rows))
            problems.append(_Ridge(train.part(~rows).with_(validation), classes, weights, task))
    least, strength, unseen = math.inf, 0.0, torch.empty(0)
    for done, tried in enumerate(_STRENGTHS, start=1):
        said = [
            problem.solve(tried).logits(one.embedding) for problem, one in zip(problems, asked, strict=True)
        ]
        loss = _calibrated_loss(torch.cat(said), torch.cat([one.labels for one in asked]), weights, task)
        say("head on the frozen backbone", done, len(_STRENGTHS) + 1)
        if loss >= least:  # the loss has one valley over the penalty, and weak penalties take the longest
            break
        least, strength, unseen = loss, tried, said[0]
    whole = _Ridge(train.with_(validation) if final else train, classes, weights, task)
    for tried in _STRENGTHS[: _STRENGTHS.index(strength) + 1]:
        whole.solve(tried)
    weight, bias = whole.head()
    with torch.no_grad():
        network.head.weight.copy_(weight)
        network.head.bias.copy_(bias)
    say("head on the frozen backbone", len(_STRENGTHS) + 1, len(_STRENGTHS) + 1)
    logits = whole.logits(train.embedding)
    return Probe(
        penalty=strength,
        loss=float(_losses(logits, train.labels, None, task).mean()),
        train_accuracy=float(task.right(task.named(logits), train.labels).float().mean()),
        validation_logits=unseen,
    )


class _Ridge:
    """Logistic regression on standardized embeddings, solved for one penalty after another.

    Each solution starts from the one before: go from the strongest penalty to the weakest.
    """

    def __init__(self, learned: Activations, classes: int, weights: Tensor | None, task: WholeImage) -> None:
        self._mean = learned.embedding.mean(dim=0)
        deviation = learned.embedding.std(dim=0, correction=0)
        self._scale = torch.where(deviation > 1e-6, 1 / deviation.clamp_min(1e-6), 0.0)
        self._x, self._labels = (learned.embedding - self._mean) * self._scale, learned.labels
        self._weights, self._task = weights, task
        self._matrix = torch.zeros(classes, self._x.shape[1], requires_grad=True)
        self._offset = torch.zeros(classes, requires_grad=True)

    def solve(self, strength: float) -> Self:
        """Minimizes mean cross-entropy plus half of strength / N times the squared weights."""
        solver = torch.optim.LBFGS(
            [self._matrix, self._offset],
            max_iter=_ITERATIONS,
            tolerance_change=_TOLERANCE,
            line_search_fn="strong_wolfe",
        )

        def loss() -> Tensor:
            solver.zero_grad()
            logits = self._x @ self._matrix.T + self._offset
            fit = _losses(logits, self._labels, self._weights, self._task).mean()
            total = fit + 0.5 * strength / len(self._x) * self._matrix.square().sum()
            total.backward()  # type: ignore[no-untyped-call]
            return total

        solver.step(loss)  # type: ignore[no-untyped-call]
        return self

    @torch.no_grad()
    def head(self) -> tuple[Tensor, Tensor]:
        """Weight [K, D] and bias [K] on embeddings as they are: the standardizing constants are in them."""
        weight = self._matrix * self._scale
        return weight, self._offset - weight @ self._mean

    def logits(self, embedding: Tensor) -> Tensor:
        """Logits float32 [N, K] of embeddings [N, D]."""
        weight, bias = self.head()
        return embedding @ weight.T + bias


def _calibrated_loss(logits: Tensor, labels: Tensor, weights: Tensor | None, task: WholeImage) -> float:
    """Mean cross-entropy at the temperature that suits the logits best.

    Evaluation calibrates the model anyway; without it, a strong penalty would win by its modesty.
    """
    return min(
        float(_losses(logits * sharpness, labels, weights, task).mean())
        for sharpness in torch.logspace(-0.5, 0.5, 11).tolist()
    )


def _losses(logits: Tensor, labels: Tensor, weights: Tensor | None, task: WholeImage) -> Tensor:
    """The loss of each image [N], weighed by class."""
    return task.losses(logits, labels, weights, 0.0, 0.0)
