from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from linnet.errors import ConfigError, StorageError
from linnet.vision.networks import build_network, load_model, plan_architecture, save_model


def network(height: int = 12, width: int = 12, channels: int = 1, **more: object) -> torch.nn.Module:
    torch.manual_seed(0)
    sizes = {"height": height, "width": width, "channels": channels, "features": 5, "classes": 4, "base": 8}
    return build_network(plan_architecture(**{**sizes, **more})).eval()  # type: ignore[arg-type]


def inputs(
    height: int = 12, width: int = 12, channels: int = 1, count: int = 6
) -> tuple[torch.Tensor, torch.Tensor]:
    numbers = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, height, width, channels), dtype=torch.uint8, generator=numbers)
    return images, torch.randn(count, 5, generator=numbers)


@pytest.mark.parametrize("size", [(8, 8, 1), (28, 28, 1), (9, 33, 3), (64, 48, 3), (100, 130, 3)])
def test_forward_of_any_size_gives_logits_and_embedding(size: tuple[int, int, int]) -> None:
    logits, embedding = network(*size)(*inputs(*size))
    assert logits.shape == (6, 4) and logits.dtype == torch.float32
    assert embedding.ndim == 2 and len(embedding) == 6 and embedding.dtype == torch.float32


def test_flip_averaging_makes_an_image_and_its_mirror_the_same_in_eval_mode_only() -> None:
    model, (images, features) = network(flip_average=True), inputs()
    both = model(images, features)[0], model(images.flip(2), features)[0]
    assert torch.allclose(*both, atol=1e-5)
    plain = network(flip_average=False)
    assert not torch.allclose(plain(images, features)[0], plain(images.flip(2), features)[0], atol=1e-5)


def test_features_and_pixels_both_change_the_logits() -> None:
    model, (images, features) = network(), inputs()
    logits = model(images, features)[0]
    assert not torch.allclose(logits, model(images, features + 1)[0])
    assert not torch.allclose(logits, model(255 - images, features)[0])


def test_constants_normalize_pixels_and_features_of_the_training_images() -> None:
    model, (images, features) = network(channels=3), inputs(channels=3, count=50)
    features[:, 2] = 7.0  # a constant column must not divide by zero
    model.fit_constants(images, features * 9 + 4)
    pixels = (images.permute(0, 3, 1, 2).float() - model.pixel_mean) * model.pixel_scale
    assert torch.allclose(pixels.mean((0, 2, 3)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(pixels.std((0, 2, 3)), torch.ones(3), atol=1e-3)
    assert model.feature_scale[0, 2] == 0
    assert torch.isfinite(model(images, features)[0]).all()


def test_saved_model_comes_back_with_the_same_answers(tmp_path: Path) -> None:
    model, given = network(channels=3), inputs(channels=3)
    save_model(tmp_path / "model", model.to(memory_format=torch.channels_last))
    loaded = load_model(tmp_path / "model")
    assert not loaded.training
    assert all(
        torch.equal(a, b)
        for a, b in zip(model.state_dict().values(), loaded.state_dict().values(), strict=True)
    )
    assert torch.allclose(model(*given)[0], loaded(*given)[0], atol=1e-5)
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["model.pt"]


@pytest.mark.parametrize(
    ("content", "message"), [(None, "there is no model"), (b"junk", "not a readable model")]
)
def test_missing_or_damaged_model_is_a_storage_error(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "model.pt").write_bytes(content)
    with pytest.raises(StorageError, match=message):
        load_model(tmp_path)


def test_unknown_or_incomplete_architecture_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="known: residual"):
        build_network({"kind": "magic"})
    with pytest.raises(ConfigError, match="lacks 'channels'"):
        build_network({"kind": "residual"})


@pytest.mark.slow
def test_export_to_onnx_answers_as_torch_for_batches_of_any_size(tmp_path: Path) -> None:
    import onnxruntime

    model, path = network(flip_average=True), tmp_path / "model.onnx"
    rows = torch.export.Dim("rows", min=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations
        torch.onnx.export(
            model, inputs(), path, dynamo=True, verbose=False, dynamic_shapes=({0: rows}, {0: rows}),
            input_names=["image", "features"], output_names=["logits", "embedding"],
        )  # fmt: skip
    session = onnxruntime.InferenceSession(path)
    for count in (1, 2, 17):
        images, features = inputs(count=count)
        found = session.run(None, {"image": images.numpy(), "features": features.numpy()})
        for ours, theirs in zip(model(images, features), found, strict=True):
            assert np.abs(ours.detach().numpy() - theirs).max() < 1e-5
