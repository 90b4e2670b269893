"""A tiny real champion with its reference, and windows of what it served, written by the real log."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from linnet.artifacts.reference import REFERENCE_FILE
from linnet.config import MonitoringConfig, RegistryConfig
from linnet.monitoring.window import write_window
from linnet.packaging.reference import summarize
from linnet.records import GateDecision, RolloutDecision, TrainingSetManifest, Window
from linnet.registry.connect import connect
from linnet.registry.protocol import Submission
from linnet.serving.log import LogEntry, PredictionLog
from linnet.serving.predictor import Predictor
from linnet.vision.statistics import FEATURES, image_statistics
from tests.packaging.folders import make_folders
from tests.serving.packages import CLASSES, make_package

SIDE = 8


def pictures(count: int, seed: int, low: int = 20, high: int = 236) -> np.ndarray:
    """Noisy images around random gray levels: uint8 [count, 8, 8, 1]."""
    rng = np.random.default_rng(seed)
    levels = rng.integers(low, high, (count, 1, 1, 1))
    return np.clip(levels + rng.integers(-18, 19, (count, SIDE, SIDE, 1)), 0, 255).astype(np.uint8)


def truth(images: np.ndarray) -> np.ndarray:
    """The class that the tiny model would give: [N]."""
    return np.minimum(images.mean(axis=(1, 2, 3)) / 256 * len(CLASSES), len(CLASSES) - 1).astype(np.int64)


@pytest.fixture(scope="session")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package folder with reference.npz."""
    folder = make_package(tmp_path_factory.mktemp("champion") / "package", sharpness=40.0)
    predictor = Predictor.load("1", folder, 1)
    held, trained = pictures(2000, 1), pictures(4000, 2)
    predicted = predictor.predict(held, None)
    summarize(
        TrainingSetManifest(
            classes=CLASSES, features=FEATURES, feature_service="image_classifier_v1", height=SIDE,
            width=SIDE, channels=1, dataset_digest="d", labels_digest="", counts={},
        ),
        image_statistics(trained), held, predicted.features, truth(held), predicted.output,
        predicted.embedding,
    ).save(folder / REFERENCE_FILE)  # fmt: skip
    return folder


Serve = Callable[..., Path]


@pytest.fixture
def serve(champion: Path, tmp_path: Path) -> Serve:
    """Logs what the champion says of images; request ids are r0, r1, ..."""

    def log_of(
        images: np.ndarray, share: float = 1.0, version: str = "1", at: float | None = None, fail: int = 0
    ) -> Path:
        predictor = Predictor.load(version, champion, 1)
        folder = tmp_path / "log"
        log = PredictionLog(folder, 1_000_000, share)
        log.start()
        moment = time.time() if at is None else at
        for number, image in enumerate(images):
            prediction = predictor.predict(image[None], None)
            log.offer(
                LogEntry(f"r{number}", moment, "tiny", version, predictor.answer, 1.5, prediction, None)
            )
        for number in range(fail):
            log.offer(LogEntry(f"f{number}", moment, "tiny", version, predictor.answer, 1.5, None, "broken"))
        log.close()
        return folder

    return log_of


@pytest.fixture
def registered(champion: Path, state: Path, tmp_path: Path, migrated: Path) -> Path:
    """The tiny champion, in a real registry."""
    (state / "mlflow").mkdir(parents=True)
    shutil.copy(migrated, state / "mlflow" / "mlflow.db")
    steps = make_folders(tmp_path / "steps")
    GateDecision(stage="package", verdict="pass", gates=()).save(champion / "gates.json")
    registry = connect(RegistryConfig(), "test")
    submission = Submission(
        model="tiny", package=champion, evaluation=steps.evaluation, training=steps.model, config={},
        tags={"gate_verdict": "pass"},
    )  # fmt: skip
    version = registry.register(submission).version
    registry.set_challenger("tiny", version)
    now = datetime.now(UTC)
    decision = RolloutDecision(
        model="tiny", version=version, champion=None, verdict="promote", steps=(), reason="a test",
        started_at=now, ended_at=now,
    )  # fmt: skip
    registry.promote("tiny", version, None, decision)
    return champion


def window_of(log: Path, out: Path, config: MonitoringConfig | None = None, version: str = "1") -> Window:
    """The window of the last hour."""
    end = datetime.now(UTC) + timedelta(seconds=5)
    config = config or MonitoringConfig()
    return write_window(log, "tiny", version, end - timedelta(hours=1), end, config, out)


def names(classes: Sequence[int]) -> list[str]:
    return [CLASSES[k] for k in classes]
