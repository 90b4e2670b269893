"""What is measured of a network: the loss of a batch, and how well it does on a split."""

from __future__ import annotations

import platform

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from linnet.records import PretrainedWeights
from linnet.training.dataset import SplitData

_IMAGES, _PIXELS = 1000, 1_600_000
"""At most so many images, and pixels (32 images of 224 x 224), go through a network at once."""


def batch_within(images: Tensor) -> int:
    """How many of the images [N, H, W, C] go through a network at once: its activations are much larger."""
    return max(1, min(_IMAGES, _PIXELS // (images.shape[1] * images.shape[2])))


def batch_loss(
    logits: Tensor, labels: Tensor, weights: Tensor | None, smoothing: float, gamma: float = 0.0
) -> Tensor:
    """Mean cross-entropy; the mean is over samples, so that equal shares of processes add up.

    `weights` float32 [K] weigh the classes; with `gamma` above 0 a sample weighs (1 - p)^gamma, where p is
    the probability of its class (Lin et al., "Focal Loss for Dense Object Detection", 2017).
    """
    losses = functional.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    if gamma:
        sure = torch.softmax(logits, dim=1).gather(1, labels[:, None])[:, 0]
        losses = losses * (1 - sure) ** gamma
    return losses.mean() if weights is None else (losses * weights[labels]).mean()


@torch.no_grad()
def validate(
    network: nn.Module, split: SplitData, classes: int, device: torch.device, precision: torch.dtype
) -> dict[str, float]:
    """Accuracy and macro F1 (over the classes that the split has) of a network on a split."""
    network.eval()
    confusion, step = torch.zeros(classes * classes, dtype=torch.int64), batch_within(split.images)
    for start in range(0, len(split), step):
        part = slice(start, start + step)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            logits, _ = network(split.images[part].to(device), split.features[part].to(device))
        pairs = split.labels[part].cpu() * classes + logits.argmax(dim=1).cpu()
        confusion += torch.bincount(pairs, minlength=classes * classes)
    table = confusion.view(classes, classes)
    right, actual, named = table.diagonal(), table.sum(dim=1), table.sum(dim=0)
    f1 = 2 * right / (actual + named).clamp_min(1)
    return {
        "validation_accuracy": int(right.sum()) / len(split),
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
