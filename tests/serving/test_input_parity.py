"""A file becomes the same pixels wherever it goes: into training, into the server, and through a client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

from linnet.artifacts.onnx_model import PackagedModel
from linnet.config import DataConfig
from linnet.data.ingest import ingest
from linnet.features.pixels import decode_samples
from linnet.records import SPLITS, ModelPackage
from linnet.serving.predictor import Predictor
from linnet.serving.protocol import model_metadata
from linnet.vision.decode import Color, Fit, channels_of, encode_png, sample_id
from tests.serving.packages import make_package
from tests.serving.test_send_tensor import client

SHAPES = [
    (10, 50),
    (50, 10),
    (200, 40),
    (41, 205),
    (23, 37),
    (37, 23),
    (1, 5),
    (5, 1),
    (24, 40),
    (25, 41),
    (23, 39),
]
"""Heights and widths: 1:5, 5:1, odd ones, the model's own and one pixel beside it."""
HEIGHT, WIDTH = 24, 40


def write(folder: Path, channels: int) -> dict[str, bytes]:
    """Two classes of noise of all shapes; the files by sample id."""
    rng = np.random.default_rng(3)
    files = {}
    for number in range(4 * len(SHAPES)):
        pixels = rng.integers(0, 256, (*SHAPES[number % len(SHAPES)], channels), np.uint8)
        place = folder / "ab"[number // len(SHAPES) % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        files[sample_id(pixels)] = encode_png(pixels)
        place.write_bytes(files[sample_id(pixels)])
    return files


@pytest.mark.parametrize("fit", get_args(Fit))
@pytest.mark.parametrize("color", ["rgb", "gray"])
def test_file_of_any_shape_has_the_same_pixels_in_training_server_and_client(
    tmp_path: Path, fit: Fit, color: Color
) -> None:
    channels = channels_of(color)
    files = write(tmp_path / "images", 3)
    data = DataConfig(
        location=str(tmp_path / "images"), height=HEIGHT, width=WIDTH, color=color, fit=fit,
        validation_fraction=0.2, production_fraction=0.2, test_fraction=0.2,
    )  # fmt: skip
    manifest = ingest(data, "p", tmp_path / "samples")
    (tmp_path / "arrays").mkdir()
    frame = decode_samples(tmp_path / "samples", manifest, data, tmp_path / "arrays")

    package = make_package(tmp_path / "p", height=HEIGHT, width=WIDTH, channels=channels, fit=fit)
    predictor = Predictor("1", PackagedModel.load(package, 1))
    metadata = json.loads(
        json.dumps(model_metadata("tiny", ["1"], ModelPackage.load(package / "package.json")))
    )
    compared = 0
    for split in SPLITS:
        trained = np.load(tmp_path / "arrays" / f"images-{split}.npy")
        ids = frame.loc[frame["split"] == split, "sample_id"]
        for pixels, name in zip(trained, ids, strict=True):
            assert np.array_equal(pixels, predictor.image_of(files[name])[0])
            assert np.array_equal(pixels, client.prepare(files[name], metadata))
            compared += 1
    assert compared == len(files)
