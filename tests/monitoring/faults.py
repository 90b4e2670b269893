"""A model's life in windows with a fault planted: through the real judges to metrics, alerts and a diagnosis.

The model is made of numbers: its confidences are calibrated, and its features are what they are; windows are
judged as those of the prediction log are.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from linnet.artifacts.reference import Reference
from linnet.config import MonitoringConfig
from linnet.monitoring.history import earlier_performance, history_folder, past_p_values
from linnet.monitoring.measure import KeptImages, compare_with_reference
from linnet.monitoring.performance import judge
from linnet.monitoring.window import Rows
from linnet.packaging.reference import summarize
from linnet.records import TrainingSetManifest, Window
from linnet.tasks.answer import answer_of
from linnet.vision.statistics import FEATURES

CLASSES = ("bag", "boot", "coat", "dress", "shirt")
CONFIG = MonitoringConfig()
HOUR = timedelta(hours=1)
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
ROWS = 4_000
"""Of a window: 5 % of them are 200."""


@dataclass
class Served:
    """N answers, with what they are about."""

    features: np.ndarray
    output: np.ndarray
    embedding: np.ndarray
    truth: np.ndarray
    label: np.ndarray
    """What people say; -1: nothing came."""
    shop: np.ndarray
    """Of each answer, by name: `fr` sends 5 %."""
    rng: np.random.Generator


Change = Callable[[Served], None]


def answers(count: int, seed: int) -> Served:
    """Of a model that is right 93 times of 100, and says how sure it is as it should."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(len(CLASSES), size=count)
    sure = np.where(rng.random(count) < 0.8, rng.uniform(0.95, 0.995, count), rng.uniform(0.55, 0.95, count))
    right = rng.random(count) < sure
    named = np.where(right, truth, (truth + rng.integers(1, len(CLASSES), count)) % len(CLASSES))
    shop = np.where(rng.random(count) < 0.05, "fr", "de")
    features = rng.normal(size=(count, len(FEATURES))).astype(np.float32)
    embedding = rng.normal(size=(count, 8)).astype(np.float32)
    return Served(features, said(named, sure), embedding, truth, truth.copy(), shop, rng)


def said(named: np.ndarray, sure: np.ndarray) -> np.ndarray:
    """Probabilities [N, K] of answers that name a class and are so sure of it."""
    rest = (1.0 - sure) / (len(CLASSES) - 1)
    output = np.repeat(rest[:, None], len(CLASSES), axis=1)
    output[np.arange(len(named)), named] = sure
    return output.astype(np.float32)


def reference(folder: Path) -> Reference:
    """What the model did on its held-out images."""
    held, trained = answers(6_000, 1), answers(20_000, 2)
    manifest = TrainingSetManifest(
        classes=CLASSES, features=FEATURES, feature_service="image_classifier_v1", height=8, width=8,
        channels=1, dataset_digest="d", labels_digest="", counts={},
    )  # fmt: skip
    images = np.zeros((len(held.truth), 8, 8, 1), np.uint8)
    found = summarize(
        manifest, trained.features, images, held.features, held.truth, held.output, held.embedding
    )
    folder.mkdir(parents=True, exist_ok=True)
    found.save(folder / "reference.npz")
    return Reference.load(folder)


@dataclass
class Life:
    """Windows of version 1, an hour each, in this test's state folder."""

    reference: Reference
    name: str = "shop"
    hours: int = 0
    gauges: dict[str, list[float]] = field(default_factory=dict)
    """By series, what each window showed."""

    def hour(self, change: Change | None = None, seed: int = 0) -> None:
        """One window, judged and kept."""
        served = answers(ROWS, 1_000 * seed + self.hours + 10)
        if change is not None:
            change(served)
        start = NOON + self.hours * HOUR
        window = Window(
            model=self.name, version="1", start=start, end=start + HOUR, rows=ROWS, served=ROWS, failed=0,
            late=0, images=300, latency_p50_ms=4.0, latency_p95_ms=8.0, enough=True,
        )  # fmt: skip
        names = [f"{self.hours}-{number}" for number in range(ROWS)]
        moments = np.datetime64(start.replace(tzinfo=None), "us") + np.arange(ROWS) * np.timedelta64(
            900, "ms"
        )
        rows = Rows(
            request_id=names, index=[0] * ROWS, at=moments, features=served.features, output=served.output,
            latency_ms=np.full(ROWS, 4.0), sample_id=names, image=[None] * ROWS,
            answer=answer_of("classification", CLASSES),
            segments=[{"store": shop} for shop in served.shop.tolist()],
        )  # fmt: skip
        kept = np.arange(300)
        seen = KeptImages(kept, served.embedding[kept])
        past = past_p_values(self.name, "1", start)
        drift = compare_with_reference(window, rows, self.reference, seen, CONFIG, past)
        came = start + HOUR
        feedback = {
            (name, 0, name): (CLASSES[label], came)
            for name, label in zip(names, served.label.tolist(), strict=True)
            if label >= 0
        }
        earlier = earlier_performance(self.name, start)
        report = judge(window, rows, self.reference, feedback, drift, CONFIG, earlier)
        folder = history_folder(self.name, "1") / f"{start:%Y%m%dT%H%M%S}"
        folder.mkdir(parents=True)
        drift.save(folder / "drift.json")
        report.save(folder / "performance.json")
        self.hours += 1

    def audit(self, stale: int) -> None:
        """The newest window's skew audit: so many values that the online store served differ."""
        folder = sorted(history_folder(self.name, "1").iterdir())[-1]
        example = {
            "request_id": "r", "sample_id": "s", "what": "brightness", "served": "1", "offline": "2",
            "source": "store",
        }  # fmt: skip
        report = {
            "verdict": "fail" if stale else "pass", "rows": 200, "compared": 200, "by_store": 200,
            "by_pixels": 0, "unknown": 0, "differences": stale, "by_name": {}, "libraries": (),
            "examples": [example] * min(stale, 100),
        }  # fmt: skip
        (folder / "skew.json").write_text(json.dumps(report))


def worse(points: float, where: Callable[[Served], np.ndarray] | None = None, sure: float = 0.0) -> Change:
    """Answers of so many in a hundred (of those `where`) name another class; as sure as before, or `sure`."""

    def change(served: Served) -> None:
        inside = np.ones(len(served.truth), bool) if where is None else where(served)
        struck = inside & (served.rng.random(len(inside)) < points / 100.0)
        named = np.where(struck, (served.truth + 1) % len(CLASSES), served.output.argmax(axis=1))
        confidence = served.output.max(axis=1)
        served.output = said(named, np.where(struck & (sure > 0), sure, confidence))

    return change


def unsure(points: float) -> Change:
    """A worse model that knows it: so many in a hundred more are wrong, and labels never come."""

    def change(served: Served) -> None:
        struck = served.rng.random(len(served.truth)) < points / 50.0
        right = served.rng.random(len(served.truth)) < 0.45
        other = (served.truth + 1) % len(CLASSES)
        named = np.where(struck, np.where(right, served.truth, other), served.output.argmax(axis=1))
        served.output = said(named, np.where(struck, 0.45, served.output.max(axis=1)))
        served.label[:] = -1

    return change


def brighter(shift: float) -> Change:
    """Upstream changed the format: a feature of every image moves."""

    def change(served: Served) -> None:
        served.features[:, 0] += shift
        served.embedding[:, 0] += shift

    return change


def noisy(share: float, next_one: bool) -> Change:
    """So many labels are another class: by chance, or the next one."""

    def change(served: Served) -> None:
        struck = served.rng.random(len(served.truth)) < share
        step = 1 if next_one else served.rng.integers(1, len(CLASSES), len(struck))
        served.label = np.where(struck, (served.truth + step) % len(CLASSES), served.truth)

    return change


def unlabelled(left: int) -> Change:
    """Labels stop; so many still come."""

    def change(served: Served) -> None:
        served.label[left:] = -1

    return change


def of_class(number: int) -> Callable[[Served], np.ndarray]:
    return lambda served: served.truth == number


def of_shop(name: str) -> Callable[[Served], np.ndarray]:
    return lambda served: served.shop == name


def traffic(**changes: Any) -> dict[str, Any]:
    """Fields of `VersionTraffic` of a good half hour."""
    return {"version": "1", "answered": 2_000, "failed": 0, "latency_p95_ms": 8.0} | changes
