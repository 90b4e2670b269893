"""Runs a network over a held-out split, in batches that fit the memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import numpy as np
import numpy.typing as npt

from linnet.artifacts.training_set import HeldOut
from linnet.errors import DataError
from linnet.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor, nn

    from linnet.vision.fusion import FusionNetwork

Floats32 = npt.NDArray[np.float32]

_BATCH = 512
_BATCH_VALUES = 1 << 22
"""Pixel values a batch may hold, so that large images do not exhaust the memory."""


@dataclass(frozen=True)
class Outputs:
    """What the network said of N samples: logits, as the task keeps them, and embeddings float32 [N, D]."""

    logits: Floats32
    embeddings: Floats32


def predict(
    network: nn.Module,
    split: HeldOut,
    what: str,
    progress: Progress | None = None,
    pooled: Tensor | None = None,
) -> Outputs:
    """Runs the network over a split in batches, in float32.

    `pooled` float32 [N, D']: activations of the split's images that are known already.

    Raises:
        DataError: the network answers other classes than the training set has.
    """
    import torch

    from linnet.tasks.model import model_of

    learned = model_of(split.task)
    logits: list[Floats32] = []
    embeddings: list[Floats32] = []
    step = batch_size(split.images)
    with torch.inference_mode():
        for start in range(0, max(len(split), 1), step):
            features = torch.from_numpy(split.features[start : start + step])
            if pooled is None:
                images = torch.from_numpy(np.array(split.images[start : start + step]))
                batch_logits, batch_embedding = network(images, features)
            else:
                batch_logits, batch_embedding = cast("FusionNetwork", network).classify(
                    pooled[start : start + step], features
                )
            logits.append(learned.kept(batch_logits.float()).numpy())
            embeddings.append(batch_embedding.float().numpy())
            if progress:
                progress(what, min(start + step, len(split)), len(split))
    outputs = Outputs(np.concatenate(logits), np.concatenate(embeddings))
    answered: int = network.architecture["classes"]  # type: ignore[index, assignment]
    if answered != len(split.classes):
        raise DataError(
            what,
            f"the model answers {answered} classes, the training set has {len(split.classes)}",
            "evaluate a model with the training set it was trained on",
        )
    return outputs


def batch_size(images: npt.NDArray[np.uint8]) -> int:
    """Images a batch: as many as fit the memory bound, at most 512 and at least 1."""
    return max(1, min(_BATCH, _BATCH_VALUES // max(int(np.prod(images.shape[1:])), 1)))
