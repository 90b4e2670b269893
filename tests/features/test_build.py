"""build_features: the training set's files, no skew between its paths, and a store that stays sane."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

import linnet.features.build as build
from linnet.config import DataConfig, FeaturesConfig
from linnet.errors import ConfigError, DataError, InvalidImage
from linnet.features.audit import differences
from linnet.features.build import build_features, model_input, store_holds
from linnet.features.history import _replace, read_history
from linnet.features.serve import audit, offline_statistics, on_demand_statistics, online_statistics
from linnet.features.store import FeatureStore
from linnet.records import SPLITS, TrainingSetManifest
from linnet.vision.statistics import FEATURES, image_statistics
from tests.features.sample_folder import CLASSES, pictures, write_labels, write_samples

DATA = DataConfig(height=9, width=8, color="gray")
INPUT, SERVICE = "9x8x1-squash", "image_classifier_v1"
ALL_ONLINE = FeaturesConfig(online_splits=SPLITS)
MIX = ["train", "train", "train", "validation", "test", "production"]


def splits(count: int) -> list[str]:
    return [MIX[index % len(MIX)] for index in range(count)]


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def joined_rows(out: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """ids, features and images over all splits."""
    parts = [np.load(out / f"ids-{split}.npy").astype(str) for split in SPLITS]
    features = np.concatenate([np.load(out / f"features-{split}.npy") for split in SPLITS])
    images = np.concatenate([np.load(out / f"images-{split}.npy") for split in SPLITS])
    return [str(name) for part in parts for name in part], features, images


def make(tmp_path: Path, count: int = 60, **more: object) -> tuple[Path, Path, list[str]]:
    ids = write_samples(tmp_path / "samples", list(pictures(count)), splits(count), **more)
    return tmp_path / "samples", write_labels(tmp_path / "labels"), ids


def test_thousand_samples_same_bits_through_every_path(tmp_path: Path) -> None:
    samples, labels, _ = make(tmp_path, 1000)
    build_features(samples, labels, ALL_ONLINE, DATA, "flowers", tmp_path / "out")
    ids, training, images = joined_rows(tmp_path / "out")
    assert len(ids) == 1000
    assert differences(ids, FEATURES, online_statistics("flowers", ids, SERVICE, INPUT), training) == []
    assert differences(ids, FEATURES, on_demand_statistics("flowers", images), training) == []
    assert differences(ids, FEATURES, image_statistics(images), training) == []
    moments = [datetime(2026, 1, 1, tzinfo=UTC)] * len(ids)
    assert audit("flowers", ids, moments, on_demand_statistics("flowers", images), SERVICE, INPUT) == []


def test_preprocessing_that_differs_on_one_side_is_found(tmp_path: Path) -> None:
    samples, labels, _ = make(tmp_path)
    build_features(samples, labels, ALL_ONLINE, DATA, "flowers", tmp_path / "out")
    ids, _, images = joined_rows(tmp_path / "out")
    images[7, 4, 4, 0] ^= 1  # the lowest bit of one pixel of one image
    found = audit(
        "flowers",
        ids,
        [datetime.now(UTC)] * len(ids),
        on_demand_statistics("flowers", images),
        SERVICE,
        INPUT,
    )
    assert {difference.sample_id for difference in found} == {ids[7]}
    assert "brightness" in {difference.feature for difference in found}


def test_build_writes_the_files_of_the_contract(tmp_path: Path) -> None:
    cohorts = {"brand": ["a" if index % 2 else "b" for index in range(60)]}
    samples, labels, ids = make(tmp_path, cohorts=cohorts)
    labels = write_labels(tmp_path / "labels", {ids[0]: "ant", "f" * 32: "ant"})
    summary = build_features(samples, labels, FeaturesConfig(), DATA, "flowers", tmp_path / "out")
    out = tmp_path / "out"
    assert summary == TrainingSetManifest.load(out / "training_set.json")
    assert summary.classes == tuple(CLASSES)
    assert summary.features == tuple(FEATURES)
    assert (summary.height, summary.width, summary.channels) == (9, 8, 1)
    assert summary.counts == {"train": 30, "validation": 10, "test": 10, "production": 10}
    for split in SPLITS:
        count = summary.counts[split]
        images = np.load(out / f"images-{split}.npy", mmap_mode="r")
        assert images.dtype == np.uint8
        assert images.shape == (count, 9, 8, 1)
        assert np.load(out / f"features-{split}.npy").dtype == np.float32
        names = np.load(out / f"ids-{split}.npy")
        assert names.dtype == np.dtype("S32")
        assert [name.decode() for name in names] == [ids[i] for i, s in enumerate(splits(60)) if s == split]
        cohort = np.load(out / f"cohorts-{split}.npz")
        assert set(cohort["brightness"]) <= {"dark", "medium", "bright"}
        assert set(cohort["brand"]) == {"a", "b"} or split != "train"
    thirds = np.load(out / "cohorts-train.npz")["brightness"]
    assert [int((thirds == name).sum()) for name in ("dark", "medium", "bright")] == [10, 10, 10]
    given = np.load(out / "labels-train.npy")
    assert given.dtype == np.int64
    # sample 0 is a zebra (class 0) by the dataset, and was corrected to ant (class 1)
    assert given[:4].tolist() == [1, 1, 0, 0]


def test_correction_taken_back_restores_the_datasets_label(tmp_path: Path) -> None:
    samples, labels, ids = make(tmp_path)
    labels_of = lambda: np.load(tmp_path / "out" / "labels-train.npy")[0]  # noqa: E731
    for corrections, expected in (({}, 0), ({ids[0]: "ant"}, 1), ({}, 0), ({ids[0]: "ant"}, 1)):
        write_labels(labels, corrections)
        build_features(samples, labels, FeaturesConfig(), DATA, "flowers", tmp_path / "out")
        assert labels_of() == expected


def test_build_again_gives_same_bytes_and_adds_no_rows(tmp_path: Path) -> None:
    samples, labels, ids = make(tmp_path)
    labels = write_labels(tmp_path / "labels", {ids[3]: "zebra"})
    build_features(samples, labels, FeaturesConfig(), DATA, "flowers", tmp_path / "one")
    offline = FeatureStore("flowers").offline
    before = digests(offline)
    build_features(samples, labels, FeaturesConfig(), DATA, "flowers", tmp_path / "two")
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert digests(offline) == before


OTHER_INPUTS = [
    DataConfig(height=9, width=5, color="gray"),
    DataConfig(height=9, width=8, color="rgb"),
    DataConfig(height=9, width=8, color="gray", fit="crop"),
]


def test_candidate_of_another_input_leaves_the_champions_statistics_as_they_are(tmp_path: Path) -> None:
    samples, labels, _ = make(tmp_path, 24)
    build_features(samples, labels, ALL_ONLINE, DATA, "flowers", tmp_path / "champion")
    ids, champions, _ = joined_rows(tmp_path / "champion")
    moments = [datetime.now(UTC)] * len(ids)
    for number, data in enumerate(OTHER_INPUTS):
        assert not store_holds(samples, labels, ALL_ONLINE, data, "flowers"), data
        build_features(samples, labels, ALL_ONLINE, data, "flowers", tmp_path / str(number))
        seen = model_input(data)
        same, features, images = joined_rows(tmp_path / str(number))
        assert same == ids and np.array_equal(features, image_statistics(images))
        assert differences(ids, FEATURES, online_statistics("flowers", ids, SERVICE, seen), features) == []
        assert audit("flowers", ids, moments, features, SERVICE, seen) == []
        assert audit("flowers", ids, moments, champions, SERVICE, INPUT) == [], data
        assert differences(ids, FEATURES, online_statistics("flowers", ids, SERVICE, INPUT), champions) == []
        assert store_holds(samples, labels, ALL_ONLINE, DATA, "flowers"), data
    offline = digests(FeatureStore("flowers").offline)
    build_features(samples, labels, ALL_ONLINE, DATA, "flowers", tmp_path / "again")
    assert digests(tmp_path / "again") == digests(tmp_path / "champion")
    assert digests(FeatureStore("flowers").offline) == offline


def test_statistics_of_a_version_that_named_no_input_are_still_the_champions(tmp_path: Path) -> None:
    samples, labels, _ = make(tmp_path)
    build_features(samples, labels, ALL_ONLINE, DATA, "flowers", tmp_path / "out")
    ids, features, _ = joined_rows(tmp_path / "out")
    store = FeatureStore("flowers")
    history = read_history(store.statistics_file())
    assert history is not None
    _replace(store.statistics_file(), history.drop(columns="model_input"))
    holds = "dataset-digest labels-digest 9x8x1 image_classifier_v1 online=production"
    (store.root / "stamp.json").write_text(json.dumps({"definitions": "of before", "holds": holds}))
    moments = [datetime.now(UTC)] * len(ids)
    assert audit("flowers", ids, moments, features, SERVICE, INPUT) == []
    assert not store_holds(samples, labels, ALL_ONLINE, DATA, "flowers")  # online rows are written anew


def test_statistics_whose_input_nobody_noted_are_no_models(tmp_path: Path) -> None:
    samples, labels, _ = make(tmp_path)
    build_features(samples, labels, ALL_ONLINE, DATA, "flowers", tmp_path / "out")
    ids, features, _ = joined_rows(tmp_path / "out")
    store = FeatureStore("flowers")
    history = read_history(store.statistics_file())
    assert history is not None
    _replace(store.statistics_file(), history.drop(columns="model_input"))
    (store.root / "stamp.json").unlink()
    moments = [datetime.now(UTC)] * len(ids)
    assert np.isnan(offline_statistics("flowers", ids, moments, SERVICE, INPUT)).all()
    build_features(samples, labels, ALL_ONLINE, DATA, "flowers", tmp_path / "again")
    assert audit("flowers", ids, moments, features, SERVICE, INPUT) == []


def test_two_use_cases_with_the_same_images_do_not_mix(tmp_path: Path) -> None:
    samples, labels, ids = make(tmp_path)
    build_features(samples, labels, ALL_ONLINE, DATA, "flowers", tmp_path / "one")
    small = DataConfig(height=4, width=4)
    build_features(samples, labels, ALL_ONLINE, small, "birds-2", tmp_path / "two")
    for name, out, seen in (("flowers", "one", INPUT), ("birds-2", "two", "4x4x1-squash")):
        ids, features, _ = joined_rows(tmp_path / out)
        assert differences(ids, FEATURES, online_statistics(name, ids, SERVICE, seen), features) == []
    assert store_holds(samples, labels, ALL_ONLINE, DATA, "flowers")
    assert not store_holds(samples, labels, ALL_ONLINE, DATA, "birds-2")


def test_online_store_that_was_lost_or_left_half_written_is_brought_up_again(tmp_path: Path) -> None:
    samples, labels, _ = make(tmp_path)
    build_features(samples, labels, ALL_ONLINE, DATA, "flowers", tmp_path / "out")
    ids, features, _ = joined_rows(tmp_path / "out")
    store = FeatureStore("flowers")
    history = read_history(store.offline / "image_statistics.parquet")
    assert history is not None
    store.write_online("image_statistics", history.head(5).assign(brightness=np.float32(0.5)))
    assert differences(ids, FEATURES, online_statistics("flowers", ids, SERVICE, INPUT), features) != []
    build_features(samples, labels, ALL_ONLINE, DATA, "flowers", tmp_path / "out")
    assert differences(ids, FEATURES, online_statistics("flowers", ids, SERVICE, INPUT), features) == []
    (store.root / "online.db").unlink()
    assert not store_holds(samples, labels, ALL_ONLINE, DATA, "flowers")
    build_features(samples, labels, ALL_ONLINE, DATA, "flowers", tmp_path / "out")
    assert differences(ids, FEATURES, online_statistics("flowers", ids, SERVICE, INPUT), features) == []


def test_only_the_configured_splits_come_online(tmp_path: Path) -> None:
    samples, labels, ids = make(tmp_path)
    build_features(samples, labels, FeaturesConfig(), DATA, "flowers", tmp_path / "out")
    known = ~np.isnan(online_statistics("flowers", ids, SERVICE, INPUT)).any(axis=1)
    assert known.tolist() == [split == "production" for split in splits(60)]


def test_nothing_was_known_before_the_capture(tmp_path: Path) -> None:
    samples, labels, ids = make(tmp_path)
    build_features(samples, labels, FeaturesConfig(), DATA, "flowers", tmp_path / "out")
    early = [datetime(2019, 12, 31, tzinfo=UTC)] * 2
    assert np.isnan(offline_statistics("flowers", ids[:2], early, SERVICE, INPUT)).all()


@pytest.mark.parametrize(("color", "channels"), [("gray", 1), ("rgb", 3)])
def test_images_of_mixed_size_and_mode_come_out_as_configured(
    tmp_path: Path, color: str, channels: int
) -> None:
    images = [pictures(1, 5 + n, 30 - n, 3 if n % 2 else 1, seed=n)[0] for n in range(12)]
    write_samples(tmp_path / "samples", images, splits(12))
    labels = write_labels(tmp_path / "labels")
    data = DataConfig(height=16, width=20, color=color)
    build_features(tmp_path / "samples", labels, FeaturesConfig(), data, "mixed", tmp_path / "out")
    _, features, arrays = joined_rows(tmp_path / "out")
    assert arrays.shape == (12, 16, 20, channels)
    assert np.array_equal(features, image_statistics(arrays))


def test_unknown_label_is_refused_before_the_store_learns_it(tmp_path: Path) -> None:
    samples, labels, ids = make(tmp_path)
    write_labels(labels, {ids[2]: "yak"})
    reason = rf"sample {ids[2]}: its label 'yak' is not one of the dataset's classes.*zebra, ant"
    with pytest.raises(DataError, match=reason):
        build_features(samples, labels, FeaturesConfig(), DATA, "flowers", tmp_path / "out")
    assert not FeatureStore("flowers").offline.exists()


def test_unknown_feature_service_names_the_known_ones(tmp_path: Path) -> None:
    samples, labels, _ = make(tmp_path)
    config = FeaturesConfig(service="image_classifier_v9")
    with pytest.raises(ConfigError, match=r"features\.service.*image_classifier_v9.*image_classifier_v1"):
        build_features(samples, labels, config, DATA, "flowers", tmp_path / "out")


def test_manifest_that_counts_otherwise_is_refused(tmp_path: Path) -> None:
    samples, labels, _ = make(tmp_path)
    manifest = json.loads((samples / "manifest.json").read_text())
    manifest["counts"]["test"]["ant"] = 1
    (samples / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="split 'test' has 10 rows, the manifest says"):
        build_features(samples, labels, FeaturesConfig(), DATA, "flowers", tmp_path / "out")


def test_image_that_does_not_decode_is_named(tmp_path: Path) -> None:
    samples, labels, ids = make(tmp_path)
    import pyarrow.parquet as pq

    table = pq.read_table(samples / "part-00000.parquet")
    images = table["image"].to_pylist()
    images[5] = images[5][: len(images[5]) // 2]
    pq.write_table(table.set_column(1, "image", [images]), samples / "part-00000.parquet")
    with pytest.raises(InvalidImage, match=f"sample {ids[5]}"):
        build_features(samples, labels, FeaturesConfig(), DATA, "flowers", tmp_path / "out")


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    samples, labels, _ = make(tmp_path)
    told: list[tuple[str, int, int]] = []
    build.build_features(
        samples, labels, ALL_ONLINE, DATA, "flowers", tmp_path / "out", lambda *step: told.append(step)
    )
    assert told[-1] == ("online store", 60, 60)
    assert ("decode", 60, 60) in told
