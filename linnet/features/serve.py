"""What a request sees of the feature store, so that an audit can compare it with what training saw."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import numpy.typing as npt

from linnet.features.audit import Difference, differences
from linnet.features.store import FeatureStore
from linnet.vision.statistics import FEATURES

REQUEST_SUFFIX = "_request"
"""A feature service's twin for images that the store has never seen has its name with this behind it."""


def online_statistics(
    name: str, sample_ids: Sequence[str], service: str, model_input: str
) -> npt.NDArray[np.float32]:
    """Looks known samples up in the online store of use case `name`.

    Args:
        name: the use case.
        sample_ids: keys of the entity `sample`.
        service: the feature service that the model was trained with.
        model_input: what the model sees of an image: `vision.preprocessing.input_key`.

    Returns:
        float32 [N, len(FEATURES)]; a row of NaN for a sample that is not online.
    """
    return FeatureStore(name).online(service, sample_ids, model_input)


def on_demand_statistics(
    name: str, images: npt.NDArray[np.uint8], service: str = "image_classifier_v1"
) -> npt.NDArray[np.float32]:
    """Computes the features of uint8 images [N, H, W, C] (model size) through Feast's on-demand view.

    Returns:
        float32 [N, len(FEATURES)].
    """
    return FeatureStore(name).on_demand(service + REQUEST_SUFFIX, images)


def offline_statistics(
    name: str, sample_ids: Sequence[str], times: Sequence[datetime], service: str, model_input: str
) -> npt.NDArray[np.float32]:
    """Point-in-time join: the features that held for each sample at its time (with time zone).

    Returns:
        float32 [N, len(FEATURES)]; a row of NaN where nothing was known yet.
    """
    joined = FeatureStore(name).historical(service, FEATURES, sample_ids, times, model_input=model_input)
    return joined.to_numpy(np.float32)


def audit(
    name: str,
    sample_ids: Sequence[str],
    times: Sequence[datetime],
    served: npt.NDArray[np.float32],
    service: str,
    model_input: str,
) -> list[Difference]:
    """Compares served features float32 [N, F] with the point-in-time join at the time of serving."""
    offline = offline_statistics(name, sample_ids, times, service, model_input)
    return differences(sample_ids, FEATURES, served, offline)
