"""`package`: the trained model as ONNX, proved equal to torch and tried out in the real server."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from linnet.artifacts.onnx_model import GOLDEN_FILE, PACKAGE_FILE, PackagedModel, model_digest
from linnet.artifacts.validation_logits import unseen_logits
from linnet.config import GatesConfig, ServingConfig
from linnet.errors import PackagingError
from linnet.packaging.export import export
from linnet.packaging.gates import evaluate_package_gates
from linnet.packaging.held_out import TestSplit, golden_rows, read_test_split
from linnet.packaging.model_card import write_card
from linnet.packaging.parity import Parity, compare_outputs, torch_output
from linnet.packaging.reference import HELD_OUT, write_reference
from linnet.packaging.sbom import write_sbom
from linnet.packaging.smoke_test import REQUESTS, Latency, try_out
from linnet.progress import Progress
from linnet.records import (
    EvaluationReport,
    GateDecision,
    ModelPackage,
    PretrainedWeights,
    Split,
    TrainingReport,
    TrainingSetManifest,
    now,
)
from linnet.tasks.answer import answer_of
from linnet.tasks.target import target_of

if TYPE_CHECKING:
    from torch import nn

GOLDEN_SAMPLES = 32


def package(
    model: Path,
    evaluation: Path,
    training_set: Path,
    gates: GatesConfig,
    serving: ServingConfig,
    name: str,
    out: Path,
    progress: Progress | None = None,
) -> tuple[ModelPackage, GateDecision]:
    """Exports the model in `model` and decides whether it may be registered.

    `build_package` and `judge_package` after one another; see there.
    """
    samples = build_package(model, evaluation, training_set, gates.min_parity, serving, name, out, progress)
    return judge_package(model, evaluation, training_set, gates, samples, out)


def build_package(
    model: Path,
    evaluation: Path,
    training_set: Path,
    min_parity: float,
    serving: ServingConfig,
    name: str,
    out: Path,
    progress: Progress | None = None,
) -> int:
    """Exports the model in `model`, and measures the package; on how many samples it was compared with torch.

    Args:
        model: folder with model.pt and training.json.
        evaluation: folder with evaluation.json, for temperature, metrics and cohorts.
        training_set: folder that `build_features` wrote; parity is measured on its test split.
        min_parity: a package that agrees with torch on fewer samples is not tried out in the server.
        serving: settings of the server the package is tried out in.
        name: the model's name.
        out: gets model.onnx, package.json, golden.npz, reference.npz (what monitoring compares traffic
            with).
        progress: called with what is being done, how much of it is done, and of how much.

    Raises:
        PackagingError: the model cannot be exported, or the server does not answer as torch does.
        StorageError: the model or the evaluation cannot be read.
        DataError: the test split cannot be read.
    """
    from linnet.tasks.model import load_network

    report = EvaluationReport.load(evaluation / "evaluation.json")
    training = TrainingReport.load(model / "training.json")
    split = read_test_split(training_set)
    network = load_network(model, report.task)
    path = export(network, report.temperature, out, report.task)
    _write_golden(network, report.temperature, split, out)
    described = describe_package(name, report, split, path, training.weights)
    described.save(out / PACKAGE_FILE)
    packaged = PackagedModel.load(out)
    parity = compare_outputs(network, report.temperature, packaged, split, progress)
    held_out: tuple[Split, ...] = HELD_OUT
    validation = TrainingSetManifest.load(training_set / "training_set.json").counts.get("validation", 0)
    if unseen_logits(model, training_set, validation) is not None:
        held_out = ("test",)
    write_reference(training_set, packaged, out, progress, held_out)
    latency = Latency(math.nan, math.nan, REQUESTS)
    if parity.agreement >= min_parity:
        latency = try_out(out, serving, progress)
    described = described.model_copy(
        update={
            "parity_max_difference": parity.max_difference,
            "parity_agreement": parity.agreement,
            "latency_p50_ms": latency.p50_ms,
            "latency_p95_ms": latency.p95_ms,
        }
    )
    described.save(out / PACKAGE_FILE)
    return parity.samples


def judge_package(
    model: Path, evaluation: Path, training_set: Path, gates: GatesConfig, samples: int, out: Path
) -> tuple[ModelPackage, GateDecision]:
    """Holds the package in `out` against the thresholds; adds gates.json, the model card and the SBOM.

    Args:
        model, evaluation, training_set: what the package was built from.
        gates: thresholds of parity, latency and size.
        samples: on how many the package was compared with torch.
        out: the package's folder.

    Raises:
        StorageError: a record cannot be read.
    """
    described = ModelPackage.load(out / PACKAGE_FILE)
    parity = Parity(samples, described.parity_max_difference, described.parity_agreement)
    decision = evaluate_package_gates(parity, described.latency_p95_ms, REQUESTS, described.size_mb, gates)
    decision.save(out / "gates.json")
    report = EvaluationReport.load(evaluation / "evaluation.json")
    training = TrainingReport.load(model / "training.json")
    about = TrainingSetManifest.load(training_set / "training_set.json")
    write_card(out, described, decision, report, training, about)
    write_sbom(out, described, training)
    return described, decision


def describe_package(
    name: str,
    report: EvaluationReport,
    split: TestSplit,
    path: Path,
    weights: PretrainedWeights | None = None,
) -> ModelPackage:
    """The package's description before anything was measured.

    Raises:
        PackagingError: evaluation and training set name different classes.
    """
    about = split.about
    if about.classes != report.classes:
        raise PackagingError(
            f"the evaluation is of the classes {list(report.classes)}, the training set has "
            f"{list(about.classes)}: evaluate again"
        )
    return ModelPackage(
        name=name,
        task=report.task,
        thresholds=report.thresholds,
        classes=report.classes,
        height=about.height,
        width=about.width,
        channels=about.channels,
        fit=about.fit,
        max_pixels=about.max_pixels,
        max_image_mb=about.max_image_mb,
        features=about.features,
        feature_service=about.feature_service,
        temperature=report.temperature,
        dataset_digest=about.dataset_digest,
        model_digest=model_digest(path),
        parity_max_difference=math.nan,
        parity_agreement=math.nan,
        latency_p50_ms=math.nan,
        latency_p95_ms=math.nan,
        size_mb=round(path.stat().st_size / 1e6, 4),
        metrics={key: interval.value for key, interval in report.metrics.items()},
        created_at=now(),
        weights=weights,
    )


def _write_golden(network: nn.Module, temperature: float, split: TestSplit, out: Path) -> None:
    """Samples of all classes with what torch answers: any server can prove itself against them."""
    rows = golden_rows(target_of(split.about.task).groups(split.labels), GOLDEN_SAMPLES)
    images, features = np.ascontiguousarray(split.images[rows]), split.features[rows]
    output = torch_output(network, temperature, images, features, split.about.task)
    named = {answer_of(split.about.task, split.about.classes).output_name: output}
    np.savez(out / GOLDEN_FILE, images=images, features=features, **named)  # type: ignore[arg-type]
