"""Which images are kept out of the box: bounded whatever the load, fair where it says so, and useful."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from linnet.config import ServingConfig
from linnet.records.prediction_log import RANDOM
from linnet.serving.log import LogEntry, PredictionLog
from linnet.serving.predictor import Prediction
from linnet.serving.retention import bound_images
from linnet.serving.sample import UNCERTAIN, UNLIKE, ImageSample
from linnet.tasks.answer import answer_of

ANSWER = answer_of("classification", ("a", "b"))


def entry(at: float, confidence: float = 0.9, feature: float = 0.0, images: int = 1) -> LogEntry:
    said = np.tile(np.array([[confidence, 1 - confidence]], np.float32), (images, 1))
    features = np.full((images, 3), feature, np.float32)
    pixels = np.zeros((images, 4, 4, 1), np.uint8)
    prediction = Prediction(pixels, features, said, features)
    return LogEntry(f"r{at}", at, "m", "1", ANSWER, 1.0, prediction, None)


def batches(minutes: float, per_second: int, seed: int = 0) -> list[list[LogEntry]]:
    """Half-second batches of ordinary traffic."""
    rng = np.random.default_rng(seed)
    return [
        [
            entry(k * 0.5 + i / per_second / 2, float(rng.uniform(0.6, 1)), float(rng.normal()))
            for i in range(max(per_second // 2, 1))
        ]
        for k in range(round(minutes * 120))
    ]


def test_sample_keeps_its_number_a_minute_at_any_load() -> None:
    for per_second in (20, 400):
        sample = ImageSample(30.0, seed=1)
        reasons = Counter(r for batch in batches(4, per_second) for r in sample.choose(batch).values())
        assert 120 <= reasons.total() <= 151, "four minutes, and the one before the first"
        assert 65 <= reasons[RANDOM] <= 76


def test_little_traffic_is_kept_whole_and_a_burst_after_quiet_is_bounded() -> None:
    sample = ImageSample(60.0, seed=1)
    assert all(sample.choose([entry(10.0 * k)]) for k in range(1, 20)), "six a minute"
    burst = [entry(10_000.0 + k / 1000) for k in range(5_000)]
    assert len(sample.choose(burst)) <= 60


def test_unsure_answers_and_strange_images_are_kept_and_random_ones_are_fair() -> None:
    sample, kept = ImageSample(60.0, seed=3), Counter[tuple[str, bool]]()
    for number, batch in enumerate(batches(10, 40)):
        odd = number % 4 == 3
        if odd:
            batch[3] = entry(batch[3].at, 0.51)  # the least sure by far
            batch[7] = entry(batch[7].at, 0.99, 40.0)  # unlike anything before
        chosen = sample.choose(batch)
        kept.update((reason, place in (3, 7) and odd) for place, reason in chosen.items())
    assert kept[UNCERTAIN, True] + kept[UNLIKE, True] > 100
    fair = kept[RANDOM, True] / (kept[RANDOM, True] + kept[RANDOM, False])
    assert fair < 0.06, "2 of 80 are odd, and chance favors none"


def test_request_of_many_images_is_kept_whole_or_not_at_all() -> None:
    sample = ImageSample(30.0)
    assert sample.choose([entry(0.0, images=500)]) == {}
    assert ImageSample(0.0).choose([entry(0.0)]) == {} == sample.choose([])


def test_log_says_why_each_image_was_kept_and_the_default_keeps_some(tmp_path: Path) -> None:
    assert ServingConfig().log_sample > 0 == ServingConfig().log_images
    log = PredictionLog(tmp_path, 10_000, 0.0, per_minute=60.0)
    log.start()
    for k in range(300):
        log.offer(entry(k * 0.2))
    log.close()
    rows = [row for path in tmp_path.glob("served-*") for row in pq.read_table(path).to_pylist()]
    assert len(rows) == 300 and 1 <= sum(row["image"] is not None for row in rows) <= 60
    assert all((row["image"] is None) == (row["kept_for"] is None) for row in rows)


def test_images_are_bounded_in_size_and_the_newest_stay(tmp_path: Path) -> None:
    for _ in range(3):
        log = PredictionLog(tmp_path, 10_000, 1.0)
        log.start()
        for k in range(20):
            log.offer(entry(float(k)))
        log.close()
    files, cleared = sorted(tmp_path.glob("served-*"), key=lambda path: path.name), set[Path]()
    images = [sum(row["image"] is not None for row in pq.read_table(path).to_pylist()) for path in files]
    room = files[-1].stat().st_size + 1
    assert bound_images(tmp_path, room, cleared) == sum(images[:-1]) > 0
    left = [sum(row["image"] is not None for row in pq.read_table(path).to_pylist()) for path in files]
    assert left == [0] * (len(files) - 1) + images[-1:]
    assert bound_images(tmp_path, room, cleared) == 0 and bound_images(tmp_path, 1e9, set()) == 0
