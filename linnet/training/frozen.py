"""A pretrained backbone's head, fitted on the pooled activations of the frozen backbone."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor

from linnet.artifacts.activations import Kept, pooled_activations
from linnet.tasks.model import WholeImage
from linnet.training.dataset import TrainingSet
from linnet.training.probe import Probe, activations, fit_head
from linnet.training.progress import Progress
from linnet.vision.fusion import FusionNetwork


@dataclass(frozen=True)
class FrozenFit:
    """What came of it: the row of epoch 0 for the history, and the head's fit."""

    row: dict[str, float]
    probe: Probe


def fit_frozen(
    network: FusionNetwork,
    data: TrainingSet,
    task: WholeImage,
    weights: Tensor | None,
    device: torch.device,
    precision: torch.dtype,
    kept: Kept | None,
    say: Progress,
    *,
    final: bool,
) -> FrozenFit:
    """Fits the network's head on the frozen backbone.

    `final`: nothing is trained after it, so that the head may learn from the validation images, too. What
    stands in the row comes of the head that had not seen them.
    """
    began = time.perf_counter()
    train, validation = (
        activations(
            network,
            pooled_activations(network, split.images, name, device, precision, kept, say)
            if split.pooled is None
            else split.pooled,
            split.features,
            split.labels,
        )
        for name, split in (("train", data.train), ("validation", data.validation))
    )
    probe = fit_head(network, train, validation, weights, say, task, final=final)
    row = {
        "epoch": 0.0,
        "loss": probe.loss,
        "train_accuracy": probe.train_accuracy,
        "images_per_second": len(data.train) / (time.perf_counter() - began),
        **task.results(task.named(probe.validation_logits), validation.labels, len(data.classes)),
    }
    return FrozenFit(row, probe)
