"""Linnet's feature definitions: two entities, two feature views, one on-demand view, three services.

A builder and not module-level objects, because Feast wants the folder of the offline files inside
the objects, and that folder is the use case's own (`repository.py` gives Feast's CLI the objects).
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from feast import Entity, FeatureService, FeatureView, Field, FileSource, OnDemandFeatureView, RequestSource
from feast.types import Bytes, Float32, Int64, String
from feast.value_type import ValueType

from linnet.features.request_time import statistics_of_request
from linnet.vision.statistics import FEATURES

NO_EXPIRY = timedelta(0)
"""Statistics of pixels and labels do not age: Feast reads a TTL of zero as none."""


def definitions(offline: Path) -> list[Any]:
    """All Feast objects; `offline` is the folder of `image_statistics.parquet` and `labels.parquet`."""
    sample = Entity(
        name="sample",
        join_keys=["sample_id"],
        value_type=ValueType.STRING,
        description="An image, named by the digest of its decoded pixels",
    )
    model_input = Entity(
        name="model_input",
        join_keys=["model_input"],
        value_type=ValueType.STRING,
        description="What a model sees of an image: height x width x channels, and how it is fitted in",
    )
    image_statistics = FeatureView(
        name="image_statistics",
        entities=[sample, model_input],
        ttl=NO_EXPIRY,
        schema=[Field(name=name, dtype=Float32) for name in FEATURES],
        source=_source("image_statistics", offline),
        online=True,
        description="Statistics of the pixels at the size that the model sees",
    )
    labels = FeatureView(
        name="labels",
        entities=[sample],
        ttl=NO_EXPIRY,
        schema=[Field(name="label", dtype=String), Field(name="label_source", dtype=String)],
        source=_source("labels", offline),
        online=False,
        description="What a sample shows, and who said so; every correction is a row of its own",
    )
    on_demand = OnDemandFeatureView(
        name="image_statistics_on_demand",
        sources=[_request()],
        schema=[Field(name=name, dtype=Float32) for name in FEATURES],
        udf=statistics_of_request,
        udf_string="linnet.features.request_time.statistics_of_request",
        mode="python",
        description="The same statistics of the same function, for an image that arrives with a request",
    )
    services = _services(image_statistics, labels, on_demand)
    return [sample, model_input, image_statistics, labels, on_demand, *services]


def _source(name: str, offline: Path) -> FileSource:
    return FileSource(
        name=f"{name}_file",
        path=str(offline / f"{name}.parquet"),
        timestamp_field="event_timestamp",
        created_timestamp_column="created",
    )


def _request() -> RequestSource:
    return RequestSource(
        name="image",
        schema=[
            Field(name="pixels", dtype=Bytes),
            Field(name="height", dtype=Int64),
            Field(name="width", dtype=Int64),
            Field(name="channels", dtype=Int64),
        ],
    )


def _services(
    image_statistics: FeatureView, labels: FeatureView, on_demand: OnDemandFeatureView
) -> list[FeatureService]:
    return [
        FeatureService(
            name="image_classifier_v1",
            features=[image_statistics],
            description="What the classifier is trained on, and what is looked up for a known sample",
        ),
        FeatureService(
            name="image_classifier_v1_request",
            features=[on_demand],
            description="The same features for an image that the store has never seen",
        ),
        FeatureService(
            name="training_labels_v1",
            features=[labels],
            description="What the classifier is trained towards; never served",
        ),
    ]
