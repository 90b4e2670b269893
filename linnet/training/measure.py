"""What is measured of a network: the loss of a batch, and how well it does on a split."""

from __future__ import annotations

import platform

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from linnet.artifacts.activations import batch_within
from linnet.records import PretrainedWeights
from linnet.training.dataset import SplitData


def batch_loss(
    logits: Tensor, labels: Tensor, weights: Tensor | None, smoothing: float, gamma: float = 0.0
) -> Tensor:
    """Mean cross-entropy; the mean is over samples, so that equal shares of processes add up.

    `labels` are int64 [N], or float32 [N, K] with the share of each class. `weights` float32 [K] weigh the
    classes; with `gamma` above 0 a sample weighs (1 - p)^gamma, where p is the probability of its class
    (Lin et al., "Focal Loss for Dense Object Detection", 2017). Of mixed labels both are taken by share.
    """
    losses = functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    mixed = labels.is_floating_point()
    if gamma:
        chances = torch.softmax(logits, dim=1)
        sure = (chances * labels).sum(1) if mixed else chances.gather(1, labels[:, None])[:, 0]
        losses = losses * (1 - sure) ** gamma
    if weights is None:
        return losses.mean()
    return (losses * (labels @ weights if mixed else weights[labels])).mean()


@torch.no_grad()
def validate(
    network: nn.Module, split: SplitData, classes: int, device: torch.device, precision: torch.dtype
) -> dict[str, float]:
    """Accuracy and macro F1 (over the classes that the split has) of a network on a split."""
    network.eval()
    named, step = torch.zeros(len(split), dtype=torch.int64), batch_within(split.images)
    for start in range(0, len(split), step):
        part = slice(start, start + step)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            logits, _ = network(split.images[part].to(device), split.features[part].to(device))
        named[part] = logits.argmax(dim=1).cpu()
    return scores(split.labels.cpu(), named, classes)


def scores(labels: Tensor, named: Tensor, classes: int) -> dict[str, float]:
    """`validation_accuracy` and `validation_macro_f1` of the classes named, int64 [N] both."""
    table = torch.bincount(labels * classes + named, minlength=classes * classes).view(classes, classes)
    right, actual, said = table.diagonal(), table.sum(dim=1), table.sum(dim=0)
    f1 = 2 * right / (actual + said).clamp_min(1)
    return {
        "validation_accuracy": int(right.sum()) / len(labels),
        "validation_macro_f1": float(f1[actual > 0].mean()),
    }


def epochs_of(history: list[dict[str, float]]) -> int:
    """Epochs that were trained; the fit of a head on a frozen backbone counts as epoch 0."""
    return int(history[-1]["epoch"]) if history else 0


def library_versions(origin: PretrainedWeights | None) -> dict[str, str]:
    """Versions of what the numbers of a training depend on."""
    found = {"python": platform.python_version(), "torch": torch.__version__, "numpy": np.__version__}
    if origin:
        import timm

        found["timm"] = timm.__version__
    return found
