"""The network before its first step: chosen, filled with weights, and told how fast each part may learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from linnet.config import TrainConfig
from linnet.errors import ConfigError
from linnet.records import PretrainedWeights
from linnet.statistics.spread import spread
from linnet.tasks.model import Model
from linnet.training.dataset import TrainingSet
from linnet.training.initial import take_initial_weights
from linnet.vision.fusion import PixelNetwork
from linnet.vision.networks import plan_architecture

_CONSTANTS_FROM = 20_000
"""Training images, spread over all, from which the normalizing constants are computed."""


def prepare_network(
    data: TrainingSet, task: Model, config: TrainConfig, device: torch.device, precision: torch.dtype
) -> tuple[PixelNetwork, PretrainedWeights | None, list[str]]:
    """The network on the device, with constants from the data and the weights that it starts from.

    Returns:
        the network; where the weights of its backbone are from, if they were trained before; notes.

    Raises:
        ConfigError: the network and the other settings do not go together.
        TrainingError: weights that were asked for cannot be used.
    """
    name = config.backbone_for(data.height, data.width)
    _check(name, config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        network = task.network(_architecture(name, data, config))
    images = data.train.images
    if len(images) > _CONSTANTS_FROM:
        images = images[torch.from_numpy(spread(len(images), _CONSTANTS_FROM))]
    network.fit_constants(images, data.train.features)
    origin = _pretrained(network, name, config)
    notes = take_initial_weights(network, Path(config.init_weights)) if config.init_weights else []
    # Channels last feeds bfloat16 units and tensor cores, and depthwise convolutions everywhere; the small
    # network in float32 on a CPU runs a fifth slower with it.
    last = device.type == "cuda" or precision == torch.bfloat16 or name != "small"
    memory_format = torch.channels_last if last else torch.contiguous_format
    return network.to(device, memory_format=memory_format), origin, notes  # type: ignore[call-overload]


def hold_norms(network: nn.Module) -> None:
    """Makes batch normalization use the statistics that it came with, and leave them as they are."""
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


def learning_rate_scales(network: PixelNetwork, config: TrainConfig) -> dict[str, float]:
    """Share of the learning rate by name of weight: the nearer to the image, the slower."""
    from timm.models import group_parameters

    backbone: Any = network.get_submodule("backbone")
    groups: dict[str, int] = group_parameters(backbone, backbone.group_matcher(coarse=True), reverse=True)
    last = max(groups.values())
    return {
        f"backbone.{name}": config.backbone_rate * config.layer_decay ** (last - group)
        for name, group in groups.items()
    }


def _check(name: str, config: TrainConfig) -> None:
    pretrained = name != "small" and config.weights != "none"
    if config.epochs == 0 and not pretrained:
        problem = "is 0, but there is no pretrained backbone whose head alone could be fitted"
        raise ConfigError("train.epochs", problem, "raise it, or name train.backbone and train.weights")
    if name != "small" and config.optimizer == "muon":
        problem = f"is 'muon', which would undo the weights of {name}"
        raise ConfigError("train.optimizer", problem, "set it to 'adamw' or 'sgd'")
    if name == "small" and config.weights not in ("auto", "none"):
        problem = f"is {config.weights!r}, but the small network starts from random weights"
        raise ConfigError("train.weights", problem, "name train.backbone, or use train.init_weights")


def _architecture(name: str, data: TrainingSet, config: TrainConfig) -> dict[str, Any]:
    sizes = {
        "height": data.height,
        "width": data.width,
        "channels": data.channels,
        "features": len(data.features),
        "classes": len(data.classes),
    }
    if name == "small":
        return plan_architecture(
            **sizes, base=config.width, depth=config.depth, flip_average=config.flip_average
        )
    from linnet.vision.backbones import plan_backbone

    return plan_backbone(name=name, **sizes, flip_average=config.flip_average)


def _pretrained(network: PixelNetwork, name: str, config: TrainConfig) -> PretrainedWeights | None:
    if name == "small":
        return None
    from linnet.training.pretrained import take_pretrained  # timm takes a second to import

    return take_pretrained(network.get_submodule("backbone"), name, config)
