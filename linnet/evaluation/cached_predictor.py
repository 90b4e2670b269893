"""A network's answers about the splits, from activations that training or an earlier run computed already."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from linnet.artifacts.training_set import HeldOut
from linnet.cache.store import Cache
from linnet.evaluation.predict import Outputs, predict
from linnet.progress import Progress, silent
from linnet.records import Split

if TYPE_CHECKING:
    from torch import Tensor

    from linnet.vision.fusion import PixelNetwork

_WORTH_KEEPING = "timm"
"""Kind of network whose pooled activations take longer to compute than to read; the small one's do not."""


@dataclass(frozen=True)
class CachedPredictor:
    """A network with the activations that are kept of the images in a training set's folder."""

    network: PixelNetwork
    training_set: Path
    cache: Cache | None

    def predict(self, split: HeldOut, name: Split, progress: Progress | None) -> Outputs:
        """Logits and embeddings of a whole split; its activations are kept for the next network's head.

        Raises:
            DataError: the network gives another number of classes than the training set has.
        """
        return predict(
            self.network, split, f"{name} predictions", progress, self._activations(split, name, progress)
        )

    def predict_rows(
        self, split: HeldOut, name: Split, rows: npt.NDArray[np.int64], progress: Progress | None
    ) -> Outputs:
        """The same for `split`, which is some rows of the split `name`; only what is kept already is used."""
        found = self._activations(None, name, progress)
        pooled = None if found is None else found[rows]
        return predict(self.network, split, f"{name} predictions", progress, pooled)

    def _activations(self, split: HeldOut | None, name: Split, progress: Progress | None) -> Tensor | None:
        from linnet.vision.fusion import FusionNetwork

        network = self.network
        if self.cache is None or network.architecture["kind"] != _WORTH_KEEPING:
            return None
        if not isinstance(network, FusionNetwork):  # its head does not answer from pooled activations
            return None
        import torch

        from linnet.artifacts.activations import Kept, known_activations, pooled_activations

        kept = Kept(self.cache, self.training_set)
        if split is None:
            return known_activations(network, name, torch.float32, kept)
        if not len(split):
            return None
        return pooled_activations(
            network, split.images, name, torch.device("cpu"), torch.float32, kept, progress or silent
        )
