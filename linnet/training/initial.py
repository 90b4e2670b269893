"""Fine-tuning: weights to start from."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from linnet.errors import TrainingError


def take_initial_weights(network: nn.Module, path: Path) -> list[str]:
    """Copies the weights in `path` (a `model.pt`) that fit; gives a line about those that start afresh.

    Raises:
        TrainingError: the file is missing or damaged, or nothing in it fits.
    """
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        given = dict(saved["state"])
    except FileNotFoundError as error:
        raise TrainingError(
            f"train.init_weights: {path} does not exist; give a model.pt, or leave it empty"
        ) from error
    except Exception as error:  # torch raises many kinds on damaged files
        raise TrainingError(
            f"train.init_weights: {path} is not a model that Linnet wrote ({error})"
        ) from error
    own = network.state_dict()
    fits = {name: value for name, value in given.items() if name in own and own[name].shape == value.shape}
    fresh = [name for name in own if name not in fits]
    if not any(value.ndim == 4 for value in fits.values()):
        raise TrainingError(
            f"train.init_weights: no convolution in {path} has the shape of this network's; use the same "
            "train.backbone and train.width, or leave train.init_weights empty"
        )
    network.load_state_dict({**own, **fits})
    afresh = f"; start afresh: {', '.join(fresh)}" if fresh else ""
    return [f"{path}: took {len(fits)} of {len(own)} tensors{afresh}"]
