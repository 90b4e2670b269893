"""Explanations of a model whose reasons are known: its answer follows from the mean brightness."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from linnet.artifacts.onnx_model import PackagedModel
from linnet.console import explain
from linnet.console.explain import TrainingIndex, heat, occlusion
from linnet.console.pages import try_it
from linnet.console.views import sample
from linnet.tasks.detection.boxes import Box, text_of
from tests.evaluation.samples import write_training_set
from tests.serving.packages import make_package


def test_occlusion_finds_the_pixels_that_decide(tmp_path: Path) -> None:
    model = PackagedModel.load(make_package(tmp_path / "package", sharpness=20.0))
    image = np.full((8, 8, 1), 10, np.uint8)
    image[:4, :4] = 255  # bright in one corner: what makes the image brighter than "dark"
    target = int(model.predict(image[None])[0].argmax())
    assert model.package.classes[target] != "dark"
    weights = occlusion(model, image, target)
    assert weights.shape == (8, 8)
    assert weights[:4, :4].mean() > weights[4:, 4:].mean() + 0.01
    assert np.unravel_index(weights.argmax(), weights.shape) < (4, 4)


def test_image_without_structure_gives_no_weights(tmp_path: Path) -> None:
    model = PackagedModel.load(make_package(tmp_path / "package"))
    weights = occlusion(model, np.full((8, 8, 1), 100, np.uint8), 1)
    assert np.abs(weights).max() < 1e-6
    assert heat(np.full((8, 8, 1), 100, np.uint8), weights).startswith("data:image/png;base64,")


def test_nearest_training_images_look_alike_and_are_found_once(tmp_path: Path) -> None:
    folder = write_training_set(tmp_path / "set", test=40)
    for file in list(folder.glob("*-test.np*")):
        file.rename(file.with_name(file.name.replace("-test", "-train")))
    model = PackagedModel.load(make_package(tmp_path / "package"))
    index = TrainingIndex(tmp_path / "kept")
    images = np.load(folder / "images-train.npy")
    embedding = model.predict(images[5:6])[1][0]
    nearest = index.nearest(model, folder, embedding, most=3)
    assert (nearest.among, nearest.of) == (40, 40)
    found = nearest.images
    assert len(found) == 3 and found[0].similarity > 0.999
    assert [one.similarity for one in found] == sorted((one.similarity for one in found), reverse=True)
    (kept,) = (tmp_path / "kept").glob("*.npz")
    before = kept.stat().st_mtime_ns
    TrainingIndex(tmp_path / "kept").nearest(model, folder, embedding)
    assert kept.stat().st_mtime_ns == before


def test_nearest_of_a_sample_say_of_how_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a larger set the nearest were those of 5,000 images, and the page did not say so."""
    monkeypatch.setattr(explain, "_MOST_NEIGHBOURS_OF", 30)
    folder = write_training_set(tmp_path / "set", test=40)
    for file in list(folder.glob("*-test.np*")):
        file.rename(file.with_name(file.name.replace("-test", "-train")))
    model = PackagedModel.load(make_package(tmp_path / "package"))
    embedding = model.predict(np.load(folder / "images-train.npy")[5:6])[1][0]
    nearest = TrainingIndex(tmp_path / "kept").nearest(model, folder, embedding)
    assert (nearest.among, nearest.of) == (30, 40)
    shown = str(sample.neighbors(nearest))
    assert "Of 30 of the 40 training images" in shown
    assert "Of " not in str(sample.neighbors(replace(nearest, among=40)))


def test_an_answer_about_places_is_drawn_into_the_image_as_it_was_sent() -> None:
    sent = np.full((100, 200, 1), 30, np.uint8)
    shown = str(try_it.drawn_in("detection", sent, text_of([Box("cat", 0.25, 0.5, 0.5, 1.0)])))
    [found] = re.findall(r"data:image/png;base64,([^\"]+)", shown)
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(found)))).astype(int)
    assert drawn.shape == (320, 640, 3)
    y, x = np.nonzero(drawn[..., 0] - drawn[..., 2] > 100)
    assert (x.min(), x.max(), y.min(), y.max()) == (160, 320, 160, 319)
