"""The packaged model: what it accepts, and what it refuses with a clear sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from linnet.artifacts.onnx_model import GOLDEN_FILE, MODEL_FILE, PACKAGE_FILE, PackagedModel, model_digest
from linnet.errors import ServingError
from linnet.vision.statistics import image_statistics
from tests.serving.packages import RAISING_LEVEL, expected_probabilities, image_of, make_package


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return make_package(tmp_path / "good")


def test_good_package_predicts_what_brightness_says(good: Path) -> None:
    model = PackagedModel.load(good, threads=1)
    images = np.stack([image_of(level) for level in (10, 90, 160, 250)])
    probabilities, embedding = model.predict(images)
    assert np.allclose(probabilities, expected_probabilities(images), atol=1e-5)
    assert list(probabilities.argmax(axis=1)) == [0, 1, 2, 3]
    assert np.array_equal(embedding[:, 1:], image_statistics(images))


def test_good_package_reproduces_its_golden_samples(good: Path) -> None:
    golden = np.load(good / GOLDEN_FILE)
    probabilities, _ = PackagedModel.load(good).predict(golden["images"], golden["features"])
    assert np.allclose(probabilities, golden["probabilities"], atol=1e-5)


def test_permuted_package_names_the_next_class(tmp_path: Path) -> None:
    model = PackagedModel.load(make_package(tmp_path, broken="permuted"))
    probabilities, _ = model.predict(image_of(10)[None])
    assert probabilities.argmax() == 1


@pytest.mark.parametrize("missing", [PACKAGE_FILE, MODEL_FILE])
def test_missing_file_is_named(good: Path, missing: str) -> None:
    (good / missing).unlink()
    with pytest.raises(ServingError, match=f"{missing} is missing"):
        PackagedModel.load(good)


def test_damaged_model_is_told_by_its_digest(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="its digest is"):
        PackagedModel.load(make_package(tmp_path, broken="corrupt"))


def test_model_that_onnx_cannot_read_gives_one_sentence(good: Path) -> None:
    (good / MODEL_FILE).write_bytes(b"not a model")
    package = json.loads((good / PACKAGE_FILE).read_text())
    package["model_digest"] = model_digest(good / MODEL_FILE)
    (good / PACKAGE_FILE).write_text(json.dumps(package))
    with pytest.raises(ServingError, match="ONNX Runtime cannot load it") as caught:
        PackagedModel.load(good)
    assert "\n" not in str(caught.value)


def test_broken_package_json_is_refused(good: Path) -> None:
    (good / PACKAGE_FILE).write_text('{"name": 1}')
    with pytest.raises(ServingError, match="not a readable ModelPackage"):
        PackagedModel.load(good)


def test_wrong_output_shape_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match=r"output probabilities .*5.* is expected"):
        PackagedModel.load(make_package(tmp_path, broken="shape"))


def test_other_image_size_than_the_package_says_is_refused(good: Path) -> None:
    package = json.loads((good / PACKAGE_FILE).read_text()) | {"height": 9}
    (good / PACKAGE_FILE).write_text(json.dumps(package))
    with pytest.raises(ServingError, match="input image"):
        PackagedModel.load(good)


def test_nan_is_refused_at_load_and_at_predict(tmp_path: Path) -> None:
    with pytest.raises(ServingError, match="not probabilities"):
        PackagedModel.load(make_package(tmp_path / "always", broken="nan"))
    sometimes = PackagedModel.load(make_package(tmp_path / "some", broken="nan_some"))
    assert sometimes.predict(image_of(RAISING_LEVEL)[None])[0].argmax() == 0
    with pytest.raises(ServingError, match="not probabilities"):
        sometimes.predict(image_of(RAISING_LEVEL - 1)[None])


def test_wrong_arrays_are_value_errors(good: Path) -> None:
    model = PackagedModel.load(good)
    with pytest.raises(ValueError, match="images must be uint8"):
        model.predict(np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(ValueError, match="features must be float32"):
        model.predict(image_of(1)[None], np.zeros((1, 3), np.float32))


def test_raising_model_raises_only_for_its_images(tmp_path: Path) -> None:
    model = PackagedModel.load(make_package(tmp_path, broken="raising"))
    assert model.predict(image_of(RAISING_LEVEL)[None])[0].argmax() == 0
    with pytest.raises(ServingError, match="failed"):
        model.predict(image_of(RAISING_LEVEL - 1)[None])
