"""build_features: statistics into the feature store, and a training set out of it."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from linnet.artifacts.windows import DATASET, SOURCE, window_of
from linnet.config import DataConfig, FeaturesConfig
from linnet.errors import DataError, StorageError
from linnet.features.history import EVENT, INPUT, KEY, of_input, read_history, record, winners
from linnet.features.labels_of_run import dataset_labels, effective_labels, encoded_labels
from linnet.features.pixels import decode_samples, image_shape
from linnet.features.store import LABELS, STATISTICS, FeatureStore
from linnet.progress import Progress
from linnet.records import SPLITS, DatasetManifest, LabelBatch, TrainingSetManifest, now
from linnet.vision.preprocessing import input_key
from linnet.vision.statistics import FEATURES, brightness_cohort, brightness_edges

if TYPE_CHECKING:
    import pandas as pd

LABELS_SERVICE = "training_labels_v1"


def build_features(
    samples: Path,
    labels: Path,
    features: FeaturesConfig,
    data: DataConfig,
    name: str,
    out: Path,
    progress: Progress | None = None,
) -> TrainingSetManifest:
    """Writes the training set of use case `name` to `out`, by way of the feature store.

    Every image is decoded and resized as a request's image is; its statistics go to the offline store
    and (as `features.online` says) to the online store; the training set is a point-in-time join,
    as of the moment at which the labels were frozen, through the feature service.

    The files depend on the inputs only: the same samples, labels and settings give the same bytes.
    Rows that the store holds already are not written again. Statistics of images that are prepared in
    another way (size, color, fit) stand beside them: a champion may be served and audited with those.

    Args:
        samples: folder of `ingest` (manifest.json and shards).
        labels: folder of `collect_labels` (labels.json and labels.parquet).
        features: names the feature service.
        data: size and color that images are brought to.
        name: the use case; it has a feature store of its own.
        out: folder of the training set; what was there is replaced.
        progress: is told ("decode" or "online store", done, total).

    Raises:
        InvalidImage, DataError: a sample or a label is not what it should be.
        ConfigError: the feature service does not exist.
        StorageError: the feature store or `out` cannot be read or written.
    """
    manifest = DatasetManifest.load(samples / "manifest.json")
    batch = LabelBatch.load(labels / "labels.json")
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    table = decode_samples(samples, manifest, data, out, progress)
    if table[KEY].duplicated().any():
        twice = table[KEY][table[KEY].duplicated()].iloc[0]
        raise DataError(str(samples), f"sample {twice} is a duplicate", "ingest the dataset again")
    effective = effective_labels(table, labels)
    size = image_shape(data)[:2]
    encoded_labels(effective["label"], effective[KEY], manifest, *size)  # refuse before the store learns it
    store, prepared = FeatureStore(name), model_input(data)
    as_of = max(batch.as_of, table["captured_at"].max(), effective[EVENT].max())
    with store.locked():
        store.apply()
        _record(store, table, effective, as_of, prepared)
        if features.online:
            _materialize(store, features, table, as_of, prepared, progress)
        joined = _join(store, features.service, table, as_of, prepared)
        store.mark(**{_held(data): _contents(manifest, features, batch)})
    return _write(out, table, joined, manifest, batch, features, data)


def store_holds(samples: Path, labels: Path, features: FeaturesConfig, data: DataConfig, name: str) -> bool:
    """Whether the store of `name` still holds what `build_features` put there last for these inputs.

    A cached training set may only be used if so: the online store is an effect beyond the outputs.
    """
    manifest = DatasetManifest.load(samples / "manifest.json")
    batch = LabelBatch.load(labels / "labels.json")
    return FeatureStore(name).marked(_held(data)) == _contents(manifest, features, batch)


def model_input(data: DataConfig) -> str:
    """What a model of this config sees of an image: the second key of its statistics."""
    return input_key(*image_shape(data), fit=data.fit)


def _held(data: DataConfig) -> str:
    """The mark of what the store holds of images that are prepared so."""
    return f"holds {model_input(data)}"


def _contents(manifest: DatasetManifest, features: FeaturesConfig, batch: LabelBatch) -> str:
    online = ",".join(features.online_splits) if features.online else "none"
    return f"{manifest.digest} {batch.digest} {features.service} online={online}"


def _record(
    store: FeatureStore, table: pd.DataFrame, effective: pd.DataFrame, as_of: datetime, prepared: str
) -> None:
    """Writes what is new to the offline store: statistics, the dataset's labels, and corrections."""
    moment = now()
    statistics = table[[KEY, "captured_at", *FEATURES]].rename(columns={"captured_at": EVENT})
    record(store.statistics_file(), statistics.assign(**{INPUT: prepared}), as_of, moment)
    path = store.offline / f"{LABELS}.parquet"
    history = read_history(path)
    known = set() if history is None else set(history[KEY])
    own = dataset_labels(table)
    record(path, own[~own[KEY].isin(known)], as_of, moment)
    record(path, effective, as_of, moment)


def _materialize(
    store: FeatureStore,
    features: FeaturesConfig,
    table: pd.DataFrame,
    as_of: datetime,
    prepared: str,
    progress: Progress | None,
) -> None:
    """Brings the online store up to the offline store, for the samples that can be asked for.

    Not by `feast materialize-incremental`, which goes by event time: a row that was written today
    for an image captured long ago would never come online. Nor all of it: Feast's SQLite store keeps
    one row per value, and 70,000 samples cost 13 s and 240 MB. What is online already is left alone.
    """
    history = read_history(store.statistics_file())
    assert history is not None, "rows were recorded a moment ago"
    wanted = table[KEY][table["split"].isin(features.online_splits)]
    current = winners(of_input(history, prepared), as_of).loc[wanted].reset_index()
    offline = current[list(FEATURES)].to_numpy(np.float32)
    online = store.online(features.service, list(wanted), prepared)
    stale = (online.view(np.uint32) != offline.view(np.uint32)).any(axis=1)
    store.write_online(STATISTICS, current[stale], progress)


def _join(
    store: FeatureStore, service: str, table: pd.DataFrame, as_of: datetime, prepared: str
) -> pd.DataFrame:
    """The point-in-time join: FEATURES and label of every sample, in the table's order."""
    import pandas as pd

    times = [as_of] * len(table)
    statistics = store.historical(service, FEATURES, list(table[KEY]), times, model_input=prepared)
    labels = store.historical(LABELS_SERVICE, ["label"], list(table[KEY]), times)
    joined = pd.concat([statistics, labels], axis=1)
    missing = joined.isna().any(axis=1)
    if missing.any():
        raise StorageError(
            f"{store.root}: the feature store lost {int(missing.sum())} of {len(table)} samples, "
            f"{table[KEY][missing].iloc[0]} first; delete that folder, the next run rebuilds it"
        )
    return joined


def _write(
    out: Path,
    table: pd.DataFrame,
    joined: pd.DataFrame,
    manifest: DatasetManifest,
    batch: LabelBatch,
    features: FeaturesConfig,
    data: DataConfig,
) -> TrainingSetManifest:
    """Writes everything but the images, which are there already."""
    targets = encoded_labels(joined["label"], table[KEY], manifest, *image_shape(data)[:2])
    statistics = joined[list(FEATURES)].to_numpy(np.float32)
    bright, training = statistics[:, FEATURES.index("brightness")], (table["split"] == "train").to_numpy()
    cohorts = {"brightness": brightness_cohort(bright, brightness_edges(bright[training]))}
    for cohort in manifest.cohorts:
        cohorts[cohort] = table[f"cohort_{cohort}"].fillna("").to_numpy(str)
    windows = table["label_source"].map(window_of).to_numpy(str)
    if (windows != "").any():  # what production taught: evaluation and canary look at it by itself
        cohorts[SOURCE] = np.where(windows == "", DATASET, windows)
    for split in SPLITS:
        rows = (table["split"] == split).to_numpy()
        np.save(out / f"labels-{split}.npy", targets[rows])
        np.save(out / f"features-{split}.npy", statistics[rows])
        np.save(out / f"ids-{split}.npy", table[KEY].to_numpy("S32")[rows])
        parts: dict[str, Any] = {cohort: values[rows] for cohort, values in cohorts.items()}
        np.savez(out / f"cohorts-{split}.npz", **parts)
    height, width, channels = image_shape(data)
    built = TrainingSetManifest(
        task=manifest.task,
        classes=manifest.classes,
        features=FEATURES,
        feature_service=features.service,
        height=height,
        width=width,
        channels=channels,
        fit=data.fit,
        max_pixels=data.max_pixels,
        max_image_mb=data.max_image_mb,
        dataset_digest=manifest.digest,
        labels_digest=batch.digest,
        counts={split: int((table["split"] == split).sum()) for split in SPLITS},
    )
    built.save(out / "training_set.json")
    return built
