"""What is measured of a network: how well it does on a split, and with which libraries."""

from __future__ import annotations

import platform

import numpy as np
import torch
from torch import nn

from linnet.artifacts.activations import batch_within
from linnet.records import PretrainedWeights
from linnet.tasks.model import Model
from linnet.training.dataset import SplitData


@torch.no_grad()
def validate(
    network: nn.Module,
    split: SplitData,
    classes: int,
    device: torch.device,
    precision: torch.dtype,
    task: Model,
) -> dict[str, float]:
    """Score and macro F1 (over the classes that the split has) of a network on a split."""
    network.eval()
    named, step = [], batch_within(split.images)
    for start in range(0, len(split), step):
        part = slice(start, start + step)
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            logits, _ = network(split.images[part].to(device), split.features[part].to(device))
        named.append(task.named(logits).cpu())
    return task.results(torch.cat(named), split.labels.cpu(), classes)


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
