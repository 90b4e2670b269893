"""Evaluation takes activations that training kept; a validation split that was learned from stays fair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from linnet.artifacts.activations import Kept, known_activations, pooled_activations
from linnet.artifacts.training_set import read_split
from linnet.artifacts.validation_logits import FILE, read_validation_logits, write_validation_logits
from linnet.cache.store import Cache
from linnet.config import EvaluationConfig, GatesConfig
from linnet.errors import StorageError
from linnet.evaluation.evaluate import evaluate
from linnet.progress import silent
from linnet.vision.backbones import plan_backbone
from linnet.vision.networks import build_network, save_model
from linnet.vision.statistics import FEATURES
from tests.evaluation.samples import write_model, write_training_set

FAST, GATES = EvaluationConfig(resamples=100), GatesConfig(max_ece=1.0)
DIGEST = f"{'d' * 32}/{'e' * 32}"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_training_set(tmp_path_factory.mktemp("data"), test=24, validation=24)


def test_evaluation_computes_no_activations_that_training_kept(data: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    sizes = {"height": 8, "width": 8, "channels": 1, "features": len(FEATURES), "classes": 4}
    network = build_network(plan_backbone(name="test_efficientnet", **sizes, flip_average=True)).eval()
    save_model(tmp_path / "model", network)
    kept = Kept(Cache(tmp_path / "cache"), data)
    cpu, exact = torch.device("cpu"), torch.float32
    for split in ("train", "validation"):
        images = torch.from_numpy(np.load(data / f"images-{split}.npy"))
        pooled_activations(network, images, split, cpu, exact, kept, silent)
    said: list[tuple[str, int]] = []

    def run(out: str, cache: Cache | None) -> dict[str, np.ndarray]:
        said.clear()
        where = tmp_path / out
        evaluate(
            tmp_path / "model", data, FAST, GATES, where,
            progress=lambda what, done, _: said.append((what, done)), cache=cache,
        )  # fmt: skip
        return {name: np.load(where / "candidates.npz")[name] for name in ("ids", "probabilities")}

    first = run("first", kept.cache)
    assert sum(what == "activations of the backbone" for what, _ in said) == 2  # test and production only
    again = run("again", kept.cache)
    assert not any(what == "activations of the backbone" for what, _ in said)
    alone = run("alone", None)
    for other in (again, alone):
        assert np.array_equal(first["ids"], other["ids"])
        assert np.allclose(first["probabilities"], other["probabilities"], atol=1e-5)
    assert known_activations(network, "test", torch.bfloat16, kept) is None  # other arithmetic, other numbers


def test_head_that_learned_from_validation_images_is_calibrated_by_what_it_said_before(
    data: Path, tmp_path: Path
) -> None:
    model = write_model(tmp_path / "model")
    sure, _ = evaluate(model, data, FAST, GATES, tmp_path / "plain")
    labels = read_split(data, "validation").labels
    doubtful = np.eye(4, dtype=np.float32)[(labels + (np.arange(len(labels)) % 3 == 0)) % 4] * 4
    write_validation_logits(model, doubtful, DIGEST)  # a third is wrong, and sure of it
    warned, _ = evaluate(model, data, FAST, GATES, tmp_path / "warned")
    assert warned.temperature > 2 * sure.temperature
    assert read_validation_logits(model, "another/set", len(labels)) is None
    assert read_validation_logits(model, DIGEST, len(labels) + 1) is None


def test_damaged_validation_logits_are_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"PK not a zip")
    with pytest.raises(StorageError, match="train the model again"):
        read_validation_logits(tmp_path, DIGEST, 3)
