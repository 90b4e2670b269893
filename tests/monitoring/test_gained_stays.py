"""The severe case with real training: what a drifted window taught is not lost by the next run without it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from linnet.config import (
    DataConfig,
    EvaluationConfig,
    FeaturesConfig,
    GatesConfig,
    LabelsConfig,
    ServingConfig,
    TrainConfig,
)
from linnet.data.ingest import ingest
from linnet.deployment.replay import Traffic
from linnet.evaluation.evaluate import evaluate
from linnet.features.build import build_features
from linnet.labels.collect import collect
from linnet.monitoring.recent import Labelled, write_recent
from linnet.packaging.package import package
from linnet.records import EvaluationReport, GateDecision
from linnet.training.train import train
from linnet.vision.decode import encode_png, sample_id

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # Feast's own
SIDE, NAMES = 12, ("horizontal", "vertical")
GATES = GatesConfig(
    min_accuracy=0.5, min_macro_f1=0.5, min_auc=0.5, max_ece=0.5, max_cohort_gap=1.0, max_latency_p95_ms=1000
)


def stripes(count: int, seed: int, drifted: bool = False) -> list[np.ndarray]:
    """Horizontal and vertical stripes in turns; drifted: pale, inverted, under a grating."""
    rng = np.random.default_rng(seed)
    grating = 140 * (np.add.outer(np.arange(SIDE), np.arange(SIDE)) % 3 == 0)
    images = []
    for number in range(count):
        base, first = np.zeros((SIDE, SIDE)), rng.integers(2)
        base[(slice(None), slice(first, None, 2)) if number % 2 else slice(first, None, 2)] = 80
        image = 90 + base + rng.normal(0, 12, (SIDE, SIDE))
        image = 255 - 0.25 * image - grating if drifted else image
        images.append(np.clip(image, 0, 255).astype(np.uint8)[..., None])
    return images


def run(folder: Path, data: DataConfig, champion: Path | None) -> tuple[EvaluationReport, GateDecision]:
    """The training DAG's steps up to the gates, as the components call them."""
    ingest(data, "stripes", folder / "samples")
    collect(folder / "samples", "stripes", LabelsConfig(), folder / "labels")
    inputs = folder / "samples", folder / "labels", FeaturesConfig(), data, "stripes"
    build_features(*inputs, folder / "set")
    settings = TrainConfig(epochs=6, width=8, batch_size=32, device="cpu")
    train(folder / "set", settings, folder / "model", folder / "work")
    measured = folder / "model", folder / "set", EvaluationConfig(resamples=100), GATES, folder / "evaluation"
    return evaluate(*measured, champion, "2" if champion else "")


def test_next_run_without_the_window_is_refused_and_with_it_passes(tmp_path: Path) -> None:
    for number, image in enumerate(stripes(600, 1)):
        folder = tmp_path / "images" / NAMES[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number}.png").write_bytes(encode_png(image))
    data = DataConfig(location=str(tmp_path / "images"), height=SIDE, width=SIDE)
    at = datetime(2026, 3, 1, tzinfo=UTC)
    write_recent(
        [
            Labelled(sample_id(image), encode_png(image), NAMES[number % 2], at)
            for number, image in enumerate(stripes(800, 2, drifted=True))
        ],
        "stripes",
    )
    retrained, _ = run(tmp_path / "retrained", data, None)
    (taught,) = retrained.regressions
    assert taught.accuracy.value > 0.9, "the retraining on the window worked"
    folders = (tmp_path / "retrained" / name for name in ("model", "evaluation", "set"))
    champion = tmp_path / "champion"
    package(*folders, GATES, ServingConfig(port=0, threads=1), "stripes", champion)
    assert Traffic.of_training_set(tmp_path / "retrained" / "set").windows > 10, "the canary asks, too"

    without, refused = run(tmp_path / "without", data.model_copy(update={"windows": "test"}), champion)
    (asked,) = without.regressions
    assert without.metrics["accuracy"].value > 0.95, "on the dataset's own test it is as good as any"
    assert asked.accuracy.value < 0.8 and asked.champion_accuracy and asked.champion_accuracy.value > 0.9
    assert [gate.name for gate in refused.gates if not gate.passed] == [f"regression {asked.name}"]

    kept, decision = run(tmp_path / "kept", data, champion)
    assert decision.verdict == "pass", decision.reasons
    assert kept.regressions[0].accuracy.value > 0.9
