"""The skew audit: served rows against the real feature store, faultless and with planted faults."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from linnet.config import DataConfig, FeaturesConfig, MonitoringConfig
from linnet.features.build import build_features
from linnet.features.history import record
from linnet.features.skew import ServedRows, audit_rows, audit_window, changed_libraries
from linnet.features.store import FeatureStore
from linnet.monitoring.window import write_window
from linnet.records import SkewReport
from linnet.serving.log import LogEntry, PredictionLog
from linnet.serving.predictor import Predictor
from linnet.vision import libraries as libraries_module
from linnet.vision.decode import encode_png, sample_id
from linnet.vision.statistics import FEATURES, image_statistics
from tests.features.sample_folder import pictures, write_labels, write_samples
from tests.serving.packages import make_package

SIDE = 8


def build(tmp: Path, count: int) -> np.ndarray:
    """The images of a training set whose statistics stand in the store `skew`."""
    images = pictures(count, SIDE, SIDE, seed=11)
    write_samples(tmp / "samples", images, ["train"] * (count // 2) + ["production"] * (count - count // 2))
    write_labels(tmp / "labels")
    data = DataConfig(height=SIDE, width=SIDE)
    features = FeaturesConfig(online=False)
    build_features(tmp / "samples", tmp / "labels", features, data, "skew", tmp / "set")
    return images


def serve(tmp: Path, images: np.ndarray, share: float, rounds: int = 1) -> Path:
    """Uploads every image, through the decoder, to the predictor and its log."""
    package = make_package(tmp / "package")
    predictor = Predictor.load("1", package, 1)
    log = PredictionLog(tmp / "log", 1_000_000, share)
    log.start()
    for number in range(rounds * len(images)):
        prediction = predictor.predict_upload(encode_png(images[number % len(images)]))
        log.offer(LogEntry(f"r{number}", time.time(), "tiny", "1", predictor.answer, 1.0, prediction, None))
    log.close()
    return package


def audit(tmp: Path, package: Path, known: bool = True) -> SkewReport:
    end = datetime.now(UTC) + timedelta(seconds=1)
    start = end - timedelta(hours=1)
    write_window(tmp / "log", "tiny", "1", start, end, MonitoringConfig(), tmp / "window", all_images=True)
    return audit_window(tmp / "window", package, "skew", tmp / "audit", known)


def test_rows_that_were_served_right_have_no_difference(tmp_path: Path) -> None:
    images = build(tmp_path, 400)
    found = audit(tmp_path, serve(tmp_path, images, share=0.5, rounds=2))
    assert (found.verdict, found.differences, found.rows, found.by_store) == ("pass", 0, 800, 800)
    assert 300 < found.by_pixels < 500 and found.unknown == 0
    assert SkewReport.load(tmp_path / "audit" / "skew.json") == found


@pytest.mark.proof
def test_ten_thousand_served_rows_have_no_difference(tmp_path: Path) -> None:
    images = build(tmp_path, 5000)
    found = audit(tmp_path, serve(tmp_path, images, share=0.2, rounds=2))
    assert (found.verdict, found.differences, found.compared) == ("pass", 0, 10_000)


def test_one_bit_of_preprocessing_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's decoder turns the last bit of one pixel over, in one image of a hundred."""
    from linnet.serving import predictor as module
    from linnet.vision.decode import Decoded

    images, plain, calls = build(tmp_path, 200), module.read_image, [0]

    def faulty(data: bytes, where: str, max_pixels: int, max_mb: float) -> Decoded:
        pixels = plain(data, where, max_pixels, max_mb).pixels.copy()
        calls[0] += 1
        pixels[3, 4, 0] ^= calls[0] % 100 == 0
        return Decoded(pixels)

    package = serve(tmp_path, images, share=0.0)  # warms up with the right decoder
    for path in (tmp_path / "log").iterdir():
        path.unlink()
    monkeypatch.setattr(module, "read_image", faulty)
    predictor = Predictor(version="1", model=Predictor.load("1", package, 1).model)
    calls[0] = 0
    log = PredictionLog(tmp_path / "log", 10_000, 0.0)
    log.start()
    for number, image in enumerate(images):
        prediction = predictor.predict_upload(encode_png(image))
        log.offer(LogEntry(f"q{number}", time.time(), "tiny", "1", predictor.answer, 1, prediction, None))
    log.close()
    found = audit(tmp_path, package)
    assert found.verdict == "fail" and found.by_name == {"pixels": 2}
    assert {one.request_id for one in found.examples} == {"q99", "q199"}


def test_stale_feature_is_found(tmp_path: Path) -> None:
    """The store corrects a value; the server goes on with the one before."""
    images = build(tmp_path, 100)
    store = FeatureStore("skew")
    path = store.offline / "image_statistics.parquet"
    import pandas as pd
    import pyarrow.parquet as pq

    held = pq.read_table(path).to_pandas()
    name = sample_id(images[7])
    fresh = held[held["sample_id"] == name].drop(columns="created").tail(1).reset_index(drop=True)
    fresh["contrast"] += np.float32(0.25)
    moment = datetime.now(UTC) - timedelta(minutes=5)
    fresh["event_timestamp"] = pd.Series([moment]).dt.as_unit("us")
    record(path, fresh, datetime.now(UTC), moment)
    found = audit(tmp_path, serve(tmp_path, images, share=0.0))
    assert found.verdict == "fail" and found.by_name == {"contrast": 1}
    assert found.examples[0].sample_id == name and found.examples[0].source == "store"


def test_correction_that_was_written_only_later_is_no_skew(tmp_path: Path) -> None:
    """A backfill with an old event time: a request could not have seen it."""
    import pandas as pd
    import pyarrow.parquet as pq

    images = build(tmp_path, 100)
    package = serve(tmp_path, images, share=0.0)
    time.sleep(0.01)
    path = FeatureStore("skew").offline / "image_statistics.parquet"
    held = pq.read_table(path).to_pandas().drop(columns="created").head(1)
    held["contrast"] += np.float32(0.25)
    held["event_timestamp"] = pd.Series([datetime.now(UTC) - timedelta(hours=2)]).dt.as_unit("us")
    record(path, held, datetime.now(UTC), datetime.now(UTC))
    assert audit(tmp_path, package).differences == 0


def test_changed_library_is_found_and_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = build(tmp_path, 60)
    served_with = {**libraries_module.libraries(), "pillow": "9.9.9"}
    monkeypatch.setattr("linnet.serving.log.libraries", lambda: served_with)
    found = audit(tmp_path, serve(tmp_path, images, share=0.0))
    assert found.verdict == "fail" and found.differences == 0
    proved = libraries_module.libraries()["pillow"]
    assert found.libraries == (f"pillow 9.9.9 served 60 rows, but the package was proved with {proved}",)


def test_libraries_that_nobody_named_are_no_difference() -> None:
    assert changed_libraries({"numpy": "2"}, {"torch": {"1": 3}, "numpy": {"2": 9}}) == []


def test_kept_image_that_is_not_what_was_served_is_found() -> None:
    images = pictures(3, SIDE, SIDE)
    rows = ServedRows(
        request_id=["a", "b", "c"],
        sample_id=[sample_id(image) for image in images],
        at=[datetime.now(UTC)] * 3,
        features=image_statistics(images),
        image=[encode_png(images[0]), encode_png(images[0]), b"no image"],
    )
    found = audit_rows(rows, FEATURES, lambda ids, *_: np.full((len(ids), len(FEATURES)), np.nan, np.float32))
    assert found.by_pixels == 3 and found.by_name["pixels"] == 2
    assert {one.request_id for one in found.examples} == {"b", "c"}


def test_audit_that_compared_nothing_does_not_pass() -> None:
    images = pictures(2, SIDE, SIDE)
    ids = [sample_id(image) for image in images]
    rows = ServedRows(["a", "b"], ids, [datetime.now(UTC)] * 2, image_statistics(images), [None, None])
    nothing = lambda ids, *_: np.full((len(ids), len(FEATURES)), np.nan, np.float32)  # noqa: E731
    found = audit_rows(rows, FEATURES, nothing)
    assert found.verdict == "fail" and found.unknown == 2 and found.differences == 0
    assert "no row could be compared" in found.notes[-1]


def test_redacted_images_are_left_out_and_the_report_says_so(tmp_path: Path) -> None:
    images = build(tmp_path, 60)
    package = serve(tmp_path, images, share=1.0)
    end = datetime.now(UTC) + timedelta(seconds=1)
    config = MonitoringConfig()
    window = tmp_path / "window"
    about = write_window(tmp_path / "log", "tiny", "1", end - timedelta(hours=1), end, config, window)
    about.model_copy(update={"served": 90}).save(window / "window.json")
    found = audit_window(window, package, "skew", tmp_path / "audit", redacted=True)
    assert found.notes[0].startswith("a sample of 60 of 90 images was audited")
    assert found.by_pixels == 0 and found.by_store == 60 and "redacted" in found.notes[1]
    assert json.loads((tmp_path / "audit" / "skew.json").read_text())["verdict"] == "pass"
