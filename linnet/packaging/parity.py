"""Whether the packaged model is numerically the trained one, on every test image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from linnet.artifacts.onnx_model import Floats, Images, PackagedModel
from linnet.config import DEFAULT_TASK
from linnet.packaging.held_out import TestSplit
from linnet.progress import Progress
from linnet.tasks.agree import agreement_of

if TYPE_CHECKING:
    from torch import nn

_SAME = 0.999
"""How far two answers agree that are the same but for the last digits of a number in them."""
_BATCH = 500
_BATCH_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Parity:
    """The comparison over `samples` images."""

    samples: int
    max_difference: float
    """Largest difference of a number in the outputs."""
    agreement: float
    """Share of images of which both say the same."""


def compare_outputs(
    network: nn.Module,
    temperature: float,
    packaged: PackagedModel,
    split: TestSplit,
    progress: Progress | None = None,
) -> Parity:
    """Runs the torch network and the packaged model over the whole split.

    Raises:
        ServingError: the packaged model fails on an image.
    """
    step = max(1, min(_BATCH, _BATCH_BYTES // max(int(np.prod(split.images.shape[1:])) * 4, 1)))
    same, largest, total = 0, 0.0, len(split.labels)
    agreement = agreement_of(packaged.package.task)
    for start in range(0, total, step):
        images = np.ascontiguousarray(split.images[start : start + step])
        features = np.ascontiguousarray(split.features[start : start + step])
        expected = torch_output(network, temperature, images, features, packaged.package.task)
        found, _ = packaged.predict(images, features)
        largest = max(largest, packaged.answer.difference(expected, found))
        pairs = zip(packaged.answer.labels(expected), packaged.answer.labels(found), strict=True)
        same += sum(agreement(one, other) >= _SAME for one, other in pairs)
        if progress:
            progress("parity with torch", min(start + step, total), total)
    return Parity(total, largest, same / total)


def torch_output(
    network: nn.Module, temperature: float, images: Images, features: Floats, task: str = DEFAULT_TASK
) -> Floats:
    """What the torch network answers in eval mode: N rows of the task's shape."""
    import torch

    from linnet.tasks.model import model_of

    with torch.inference_mode():
        logits, _ = network(torch.from_numpy(np.array(images)), torch.from_numpy(np.array(features)))
        output: Floats = model_of(task).output(logits.float(), temperature).numpy()
    return output
