"""Features that a request asks for by entity keys, from an online store; from the pixels otherwise.

The store is reached through a function that the config names as `module:function`, because the server
imports no feature store: `linnet.features.serve:online_statistics` is Feast's. It is called with
(model name, sample ids, feature service, model input) and gives float32 [N, F], NaN where a sample is
unknown. The model input (`28x28x1-squash`) tells apart versions that see images in different sizes.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from linnet.artifacts.onnx_model import Floats, Images, PackagedModel
from linnet.errors import ConfigError, RequestRejected
from linnet.serving.predictor import FeatureSource, PixelFeatures
from linnet.vision.preprocessing import input_key

ENTITY = "sample_id"
"""The entity key that samples are known by."""


class LookUp(Protocol):
    """A function that reads an online store."""

    def __call__(self, name: str, sample_ids: Sequence[str], service: str, model_input: str, /) -> Any:
        """float32 [N, F], rows of NaN for samples that are not online."""
        ...


class OnlineFeatures:
    """A `FeatureSource`: the online store's row if the request names a sample, else the pixels'."""

    def __init__(self, model: PackagedModel, look_up: LookUp) -> None:
        self._pixels, self._look_up, self._package = PixelFeatures(model), look_up, model.package

    def features(self, images: Images, keys: Mapping[str, str]) -> Floats:
        """Features of one image whose sample the store knows, or of any images without a key.

        Raises:
            RequestRejected: 400, another key, or a key for several images; 404, the sample is not online;
                503, the store does not answer.
        """
        if not keys:
            return self._pixels.features(images, keys)
        if set(keys) != {ENTITY} or len(images) != 1:
            raise RequestRejected(400, f"Linnet-Entity: must be {ENTITY}=..., for a request of one image")
        package = self._package
        prepared = input_key(package.height, package.width, package.channels, package.fit)
        try:
            found = self._look_up(package.name, [keys[ENTITY]], package.feature_service, prepared)
        except Exception as error:  # whatever a store's client raises
            raise RequestRejected(503, f"the online feature store does not answer ({error})") from error
        row = np.ascontiguousarray(found, dtype=np.float32).reshape(1, -1)
        if row.shape[1] != len(package.features) or not np.isfinite(row).all():
            raise RequestRejected(404, f"sample {keys[ENTITY]:.80} is not in the online feature store")
        return row


class _NoStore(PixelFeatures):
    """What a server without an online store has."""

    def features(self, images: Images, keys: Mapping[str, str]) -> Floats:
        """Image statistics; keys are refused, not passed over."""
        if keys:
            raise RequestRejected(
                400, "Linnet-Entity: this server looks nothing up (serving.feature_source is empty)"
            )
        return super().features(images, keys)


DYNAMIC_IMPORTS: tuple[str, ...] = ()
"""None of Linnet's: what `serving.feature_source` names is the deployment's own."""


def feature_source(named: str, model: PackagedModel) -> FeatureSource:
    """The source that the setting `serving.feature_source` names, for one model; empty: the pixels.

    Raises:
        ConfigError: it is not `module:function`, cannot be imported, or takes other arguments.
    """
    if not named:
        return _NoStore(model)
    module, _, function = named.partition(":")
    try:
        look_up: LookUp = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError("serving.feature_source", f"{named!r} cannot be imported ({error})") from error
    try:
        inspect.signature(look_up).bind("", [], "", "")
    except TypeError as error:
        raise ConfigError(
            "serving.feature_source",
            f"{named!r} cannot be asked for features ({error})",
            "it must take (model name, sample ids, feature service, model input)",
        ) from error
    except ValueError:
        pass  # a compiled function that does not tell what it takes
    return OnlineFeatures(model, look_up)
