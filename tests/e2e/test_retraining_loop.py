"""The loop closes by itself: a drifted stream, a window, the policy, a run on that window, a new champion."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from linnet.data.fetch import fetch
from linnet.monitoring.simulate import ImagePool
from linnet.records import TrainingSetManifest
from tests.e2e.timeline import Course, Traffic, draw
from tests.e2e.timeline import seconds as seconds_of
from tests.e2e.use_case import CONFIG, UseCase

pytestmark = [pytest.mark.proof, pytest.mark.timeout(2400)]

PHOTOS = """\
[monitoring]
window_minutes = 0.5
allowed_lateness_minutes = 0
min_rows = 50
[retraining]
windows = 1
violations = 1
min_new_labels = 30
"""
FASHION = """\
name = "fashion"
[data]
kind = "idx"
location = "images"
classes = [
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
]
production_fraction = 0.2
[train]
epochs = 4
optimizer = "muon"
width = 8
shift = 0
flip_average = false
[gates]
min_accuracy = 0.75
min_macro_f1 = 0.75
min_worst_recall = 0.3
max_ece = 0.1
max_cohort_gap = 0.4
max_latency_p95_ms = 500
[release]
steps = [25, 50, 100]
replay_rps = 60
max_latency_ratio = 10
median_floor_ms = 100
latency_floor_ms = 500
first_release_latency_p95_ms = 500
metrics = ["errors", "validity", "median", "accuracy"]
[serving]
port = 0
log_images = 1.0
[monitoring]
window_minutes = 0.75
allowed_lateness_minutes = 0.1
min_rows = 100
[retraining]
windows = 3
violations = 2
min_new_labels = 500
"""
IMAGES = {"train": 8_000, "t10k": 2_000}


def wait_for(what: Callable[[], object], course: Course, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < until, (course.ledger, course.windows(), course.case.record())
        time.sleep(2)


def start(case: UseCase, config: str) -> None:
    """A champion that serves, and is watched."""
    for words in (["run", config], ["up", "--detach", "--config", config], ["drift", "watch", config]):
        done = case.linnet(*words, timeout=600)
        assert done.returncode == 0, done.stdout + done.stderr


def unseen(case: UseCase) -> ImagePool:
    """The first run's production split: the same images are sent before and after the retraining."""
    folder = case.state / "latest/build-features/training_set"
    classes = TrainingSetManifest.load(folder / "training_set.json").classes
    return ImagePool(
        np.load(folder / "images-production.npy"), np.load(folder / "labels-production.npy"), classes
    )


def write_part_of_fashion(folder: Path) -> None:
    """The first images of the official splits, as IDX files of their own."""
    folder.mkdir()
    whole = fetch(Path("data.dvc"))
    for prefix, count in IMAGES.items():
        for name, sides in ((f"{prefix}-images-idx3-ubyte", (28, 28)), (f"{prefix}-labels-idx1-ubyte", ())):
            values = np.fromfile(whole / name, np.uint8, offset=8 + 4 * len(sides))
            shape = np.array([count, *sides], ">u4")
            header = bytes([0, 0, 8, 1 + len(sides)]) + shape.tobytes()
            (folder / name).write_bytes(header + values[: int(np.prod(shape))].tobytes())


def test_negatives_end_in_a_champion_that_copes_with_them(tmp_path: Path) -> None:
    case = UseCase.of_photos(tmp_path, each=80)
    config = CONFIG.replace("[serving]", "[serving]\nlog_images = 1.0") + PHOTOS
    (case.folder / "photos.toml").write_text(config)
    start(case, "photos.toml")
    course, traffic = Course(case, "photos"), None
    try:
        traffic = Traffic(case, unseen(case), 30, 150, ("invert",), 1.0)
        wait_for(lambda: course.champion() == "2", course, 600)
        switched = time.time()
        wait_for(lambda: len([a for a in traffic.answers if a[0] > switched]) >= 3, course, 100)
    finally:
        if traffic:
            traffic.stop()
        case.linnet("down")
    assert not traffic.problems
    before = traffic.accuracy(0, seconds_of(course.training_runs()[-1][0]["started_at"]))
    after = traffic.accuracy(switched, np.inf)
    assert after >= before + 0.05, f"{before:.3f} before, {after:.3f} after"
    assert sum(decision["request"] for decision in course.decisions()) == 1


def test_fashion_in_failing_light_retrains_itself(tmp_path: Path) -> None:
    case = UseCase(tmp_path / "fashion")
    case.folder.mkdir()
    write_part_of_fashion(case.folder / "images")
    (case.folder / "fashion.toml").write_text(FASHION)
    start(case, "fashion.toml")
    course, traffic = Course(case, "fashion"), None
    try:
        traffic = Traffic(case, unseen(case), 15, 120)
        wait_for(lambda: [w for w in course.windows() if w[3] == "stable"], course, 300)
        traffic.kinds, traffic.severity = ("blur", "darken"), 0.6
        began = time.time()
        wait_for(lambda: course.champion() == "2", course, 1000)
        switched = time.time()
        wait_for(lambda: [e for e in course.ledger if e["kind"] == "outcome"], course, 300)
    finally:
        if traffic:
            traffic.stop()
        case.linnet("down")
    picture = Path(".linnet/proof/retraining.png").resolve()
    asked = next(decision for decision in course.decisions() if decision["request"])
    before = traffic.accuracy(began, seconds_of(asked["at"]))
    after = traffic.accuracy(switched, np.inf)
    title = f"Fashion-MNIST, blurred and darkened: accuracy {before:.3f} before, {after:.3f} after"
    draw(course, traffic, began, title, picture)
    print(f"{title}; {picture}")
    assert not traffic.problems
    assert after >= before + 0.05
    assert sum(decision["request"] for decision in course.decisions()) == 1, "it asks once"
    (outcome,) = [entry for entry in course.ledger if entry["kind"] == "outcome"]
    assert outcome["helped"] is True
