"""The exported model: same numbers as torch for any batch, fixed names, same bytes each time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from linnet.errors import PackagingError
from linnet.packaging.export import OPSET, export
from tests.packaging.folders import make_folders


@pytest.mark.parametrize("channels", [1, 3])
def test_export_gives_torch_probabilities_for_any_batch(tmp_path: Path, channels: int) -> None:
    import onnxruntime
    import torch

    from linnet.vision.networks import load_model

    made = make_folders(tmp_path, channels=channels)
    network = load_model(made.model)
    session = onnxruntime.InferenceSession(str(export(network, 0.7, tmp_path / "out")))
    images, features = (np.load(made.training_set / f"{what}-test.npy") for what in ("images", "features"))
    for count in (1, 2, 7):
        feed = {"image": images[:count], "features": features[:count]}
        probabilities, embedding = session.run(["probabilities", "embedding"], feed)
        with torch.inference_mode():
            logits, expected = network(*(torch.from_numpy(value) for value in feed.values()))
        np.testing.assert_allclose(probabilities, torch.softmax(logits / 0.7, 1).numpy(), atol=1e-6)
        np.testing.assert_allclose(embedding, expected.numpy(), atol=1e-5)


def test_export_twice_gives_the_same_bytes_and_states_its_opset(tmp_path: Path) -> None:
    import onnx

    from linnet.vision.networks import load_model

    made = make_folders(tmp_path)
    first = export(load_model(made.model), 1.3, tmp_path / "a")
    second = export(load_model(made.model), 1.3, tmp_path / "b")
    assert first.read_bytes() == second.read_bytes()
    assert [entry.version for entry in onnx.load(str(first)).opset_import] == [OPSET]


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan"), float("inf")])
def test_export_with_impossible_temperature_is_refused(tmp_path: Path, temperature: float) -> None:
    from linnet.vision.networks import load_model

    with pytest.raises(PackagingError, match="not a positive number"):
        export(load_model(make_folders(tmp_path).model), temperature, tmp_path / "out")
