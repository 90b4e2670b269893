"""The network of maps: a backbone, a decoder, and what both may learn."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from linnet.config import PHOTO_BACKBONE
from linnet.errors import ConfigError
from linnet.tasks.segmentation.model import MODEL
from linnet.training.prepare import hold_norms
from linnet.vision.backbones import plan_backbone
from linnet.vision.networks import plan_architecture

SIZES: dict[str, Any] = {"height": 32, "width": 64, "channels": 1, "features": 3, "classes": 4}


def _images() -> tuple[torch.Tensor, torch.Tensor]:
    numbers = torch.Generator().manual_seed(0)
    return torch.randint(0, 255, (2, 32, 64, 1), generator=numbers, dtype=torch.uint8), torch.zeros(2, 3)


@pytest.mark.parametrize("name", ["small", pytest.param("convnext_atto", marks=pytest.mark.slow)])
def test_logits_are_of_every_second_pixel(name: str) -> None:
    planned = plan_architecture(**SIZES, base=8) if name == "small" else None
    network = MODEL.network(planned or plan_backbone(name=name, **SIZES, flip_average=True)).eval()
    with torch.no_grad():
        logits, embedding = network(*_images())
        output = MODEL.output(logits, 2.0)
    assert logits.shape == (2, 5, 16, 32) and output.shape == (2, 2, 32, 64) and len(embedding) == 2
    assert MODEL.losses(logits, torch.zeros(2, 32, 64, dtype=torch.uint8), None, 0.0, 0.0).shape == (2,)


def test_mirrored_image_is_averaged_in() -> None:
    network = MODEL.network(plan_architecture(**SIZES, base=8, flip_average=True)).eval()
    images, features = _images()
    with torch.no_grad():
        one, _ = network(images, features)
        other, _ = network(images.flip(2), features)
    torch.testing.assert_close(one, other.flip(3), atol=1e-5, rtol=1e-4)


def test_norms_of_a_pretrained_backbone_are_held_and_those_of_the_decoder_learn() -> None:
    network = MODEL.network(plan_backbone(name=PHOTO_BACKBONE, **SIZES, flip_average=False)).train()
    hold_norms(network.get_submodule("backbone"))
    norms = {
        name: module.training
        for name, module in network.named_modules()
        if isinstance(module, nn.BatchNorm2d)
    }
    behind = [training for name, training in norms.items() if not name.startswith("backbone.")]
    assert len(behind) > 4 and all(behind)
    assert not any(training for name, training in norms.items() if name.startswith("backbone."))


@pytest.mark.parametrize(
    ("name", "size", "problem"),
    [
        (PHOTO_BACKBONE, {"width": 60}, r"data\.width: is 60.*multiple of 32, such as 64"),
        pytest.param(
            "vit_tiny_patch16_224",
            {"height": 224, "width": 224},
            r"train\.backbone: .*no maps at halved sizes",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_what_cannot_give_maps_is_refused(name: str, size: dict[str, int], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        MODEL.network(plan_backbone(name=name, **{**SIZES, **size}, flip_average=False))
