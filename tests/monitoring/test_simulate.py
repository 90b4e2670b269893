"""Drifted streams: what each kind changes, how much, and how a stream is played."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from linnet.errors import ConfigError, ServingError
from linnet.monitoring.simulate import KINDS, NEW_CLASS, ImagePool, drifted, play
from tests.monitoring.conftest import pictures, truth
from tests.serving.packages import CLASSES

IMAGES = pictures(300, 4)
POOL = ImagePool(IMAGES, truth(IMAGES), CLASSES)


def stream(kind: str, severity: float, count: int = 200) -> tuple[np.ndarray, list[str]]:
    drawn = list(drifted(POOL, [kind], severity, count))
    return np.stack([image for image, _ in drawn]), [label for _, label in drawn]


@pytest.mark.parametrize("kind", KINDS)
def test_no_severity_changes_nothing(kind: str) -> None:
    images, labels = stream(kind, 0.0, 60)
    known = {image.tobytes(): CLASSES[label] for image, label in zip(IMAGES, POOL.labels, strict=True)}
    assert [known[image.tobytes()] for image in images] == labels


def texture(images: np.ndarray) -> float:
    """Mean difference of neighbors plus mean brightness, in gray levels."""
    values = images.astype(np.float64)
    return float(np.abs(np.diff(values, axis=2)).mean() + values.mean())


@pytest.mark.parametrize("kind", ["blur", "noise", "darken"])
def test_images_change_more_with_severity_and_keep_their_label(kind: str) -> None:
    plain, labels = stream(kind, 0.0)
    some, same = stream(kind, 0.3)
    more, _ = stream(kind, 0.9)
    assert some.dtype == np.uint8 and some.shape == plain.shape
    assert 0 < abs(texture(some) - texture(plain)) < abs(texture(more) - texture(plain))
    assert set(same) == set(labels) == set(CLASSES)


def test_invert_turns_a_share_into_negatives() -> None:
    known = {image.tobytes() for image in IMAGES}
    images, _ = stream("invert", 0.4, 400)
    share = np.mean([(255 - image).tobytes() in known for image in images])
    assert share == pytest.approx(0.4, abs=0.08)


def test_label_shift_grows_one_class_and_leaves_its_images() -> None:
    images, labels = stream("label-shift", 0.5, 400)
    before = float((POOL.labels == 2).mean())
    assert np.mean([label == CLASSES[2] for label in labels]) == pytest.approx(
        before + 0.5 * (1 - before), abs=0.08
    )
    known = {image.tobytes() for image in IMAGES}
    assert all(image.tobytes() in known for image in images)


def test_class_mix_at_its_worst_has_half_of_the_classes_left() -> None:
    assert set(stream("class-mix", 1.0)[1]) == {"dark", "dim"}


def test_new_class_brings_images_that_the_pool_does_not_hold() -> None:
    images, labels = stream("new-class", 0.5)
    known = {image.tobytes() for image in IMAGES}
    assert [image.tobytes() in known for image in images] == [label != NEW_CLASS for label in labels]
    assert labels.count(NEW_CLASS) == pytest.approx(100, abs=25)


def test_relabel_leaves_images_and_turns_labels() -> None:
    images, labels = stream("relabel", 1.0, 60)
    assert [CLASSES[(k + 1) % 4] for k in truth(images)] == labels


def test_same_seed_same_stream() -> None:
    assert np.array_equal(stream("noise", 0.5)[0], stream("noise", 0.5)[0])


@pytest.mark.parametrize(
    ("kinds", "severity", "says"),
    [(["fog"], 0.5, "no kind fog"), ([], 0.5, "--kind"), (["blur"], 1.5, "1.5 is not between 0 and 1")],
)
def test_mistakes_are_one_error(kinds: list[str], severity: float, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        list(drifted(POOL, kinds, severity, 1))


def test_play_keeps_to_the_rate_counts_failures_and_stops_in_time() -> None:
    now, lock, seen = [0.0], threading.Lock(), []

    def ask(image: np.ndarray) -> tuple[str, str]:
        with lock:
            seen.append(now[0])
            number = len(seen)
        if number % 10 == 0:
            raise ServingError("busy")
        return f"r{number}", CLASSES[int(truth(image[None])[0])]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    told: list[int] = []
    sent = play(
        drifted(POOL, ["relabel"], 0.0, 500), ask, 50.0, 500, 2.0, lambda _, done, __: told.append(done),
        lambda: now[0], sleep,
    )  # fmt: skip
    assert sent.answered + sent.failed == 100 and sent.failed == 10 and sent.problem == "busy"
    assert sent.right == 90 and len(sent.labels) == 90
    assert now[0] == pytest.approx(99 / 50) and told[-1] == 100


def test_play_says_how_many_went_late() -> None:
    clock = iter(np.arange(0, 1000, 2.0))
    sent = play(
        drifted(POOL, ["blur"], 0.0, 10), lambda _: ("r", "dark"), 100.0, 10, clock=lambda: next(clock)
    )
    assert sent.late == 10 and sent.answered == 10
