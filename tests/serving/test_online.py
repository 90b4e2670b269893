"""Features by entity keys from an online store, which here is a function that answers at once."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from linnet.artifacts.onnx_model import PackagedModel
from linnet.errors import ConfigError, RequestRejected
from linnet.serving.online import feature_source
from linnet.serving.upload import entity_of, seconds_of
from linnet.vision.statistics import FEATURES, image_statistics
from tests.serving.packages import image_of, make_package

IMAGE = image_of(100)[None]


def look_up(name: str, sample_ids: Sequence[str], service: str, model_input: str) -> np.ndarray:
    assert (name, service, model_input) == ("tiny", "image_classifier_v1", "8x8x1-squash")
    if sample_ids == ["down"]:
        raise ConnectionError("no store")
    known = sample_ids == ["known"]
    return np.full((1, len(FEATURES)), 0.5 if known else np.nan, np.float32)


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PackagedModel:
    module = ModuleType("a_feature_store")
    module.look_up = look_up  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_feature_store", module)
    return PackagedModel.load(make_package(tmp_path / "package"), 1)


def test_known_sample_gets_the_stores_row_and_others_the_pixels(model: PackagedModel) -> None:
    source = feature_source("a_feature_store:look_up", model)
    assert (source.features(IMAGE, {"sample_id": "known"}) == 0.5).all()
    assert np.array_equal(source.features(IMAGE, {}), image_statistics(IMAGE))


@pytest.mark.parametrize(
    ("keys", "status"),
    [({"sample_id": "unknown"}, 404), ({"sample_id": "down"}, 503), ({"customer": "1"}, 400)],
)
def test_key_that_finds_nothing_is_told(model: PackagedModel, keys: dict[str, str], status: int) -> None:
    source = feature_source("a_feature_store:look_up", model)
    with pytest.raises(RequestRejected) as caught:
        source.features(IMAGE, keys)
    assert caught.value.status == status


def test_key_without_a_store_is_refused_and_a_wrong_setting_too(model: PackagedModel) -> None:
    with pytest.raises(RequestRejected, match="feature_source"):
        feature_source("", model).features(IMAGE, {"sample_id": "known"})
    for named in ("nothing_like_it:look_up", "a_feature_store:other", "a_feature_store"):
        with pytest.raises(ConfigError, match=r"serving\.feature_source"):
            feature_source(named, model)


def test_function_that_takes_no_model_input_is_refused_at_once(
    model: PackagedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would answer with the features of whichever version was trained last."""
    older = lambda name, sample_ids, service: np.zeros((1, len(FEATURES)))  # noqa: E731
    monkeypatch.setattr(sys.modules["a_feature_store"], "look_up", older)
    with pytest.raises(ConfigError, match=r"serving\.feature_source.*it must take .*model input"):
        feature_source("a_feature_store:look_up", model)


def test_headers_are_read_strictly() -> None:
    assert entity_of({"linnet-entity": "sample_id=ab, site=3"}) == {"sample_id": "ab", "site": "3"}
    assert entity_of({}) == {} and seconds_of({}) is None and seconds_of({"linnet-timeout": "0.5"}) == 0.5
    for given in ("", "x", "x=", "=y", "x=1,x=2", "a b=1"):
        with pytest.raises(RequestRejected):
            entity_of({"linnet-entity": given})
    for given in ("", "0", "-1", "nan", "inf", "soon"):
        with pytest.raises(RequestRejected):
            seconds_of({"linnet-timeout": given})
