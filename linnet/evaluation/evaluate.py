"""The evaluate step: predict the held-out splits, measure, compare, decide, and write it all down."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from linnet.artifacts.training_set import HeldOut, read_split
from linnet.artifacts.validation_logits import read_validation_logits
from linnet.cache.store import Cache
from linnet.config import EvaluationConfig, GatesConfig
from linnet.errors import DataError, StorageError
from linnet.evaluation.candidates import CalibratedPredictions, write_candidates
from linnet.evaluation.compare import compare_to_champion
from linnet.evaluation.gates import evaluate_gates
from linnet.evaluation.known import Known
from linnet.evaluation.measure import measure
from linnet.evaluation.predict import Floats32, Outputs, batch_size
from linnet.evaluation.report import write_report
from linnet.evaluation.sample_images import ReportData
from linnet.progress import Progress
from linnet.records import Comparison, EvaluationReport, GateDecision, TrainingSetManifest
from linnet.tasks.agree import agreement_of
from linnet.tasks.answer import answer_of
from linnet.tasks.score import Fitted, Results, score_of
from linnet.tasks.target import target_of

if TYPE_CHECKING:
    from linnet.artifacts.onnx_model import PackagedModel

EVALUATION_FILE, GATES_FILE = "evaluation.json", "gates.json"
PREDICTIONS_FILE, REPORT_FILE = "predictions.npz", "report.html"


def evaluate(
    model: Path,
    training_set: Path,
    evaluation: EvaluationConfig,
    gates: GatesConfig,
    out: Path,
    champion: Path | None = None,
    champion_version: str = "",
    progress: Progress | None = None,
    cache: Cache | None = None,
) -> tuple[EvaluationReport, GateDecision]:
    """Measures a trained model on the test split and decides about it.

    Args:
        model: folder with `model.pt`.
        training_set: folder that `build_features` wrote.
        evaluation: levels, bins, seed.
        gates: thresholds.
        out: folder to write evaluation.json, gates.json, predictions.npz (test split: ids `S32` [N],
            labels as the training set has them, calibrated probabilities float32 [N, K], embeddings
            float32 [N, D]), candidates.npz (see `evaluation.candidates`) and report.html into. Equal
            inputs give equal bytes.
        champion: package folder of the present champion, if there is one.
        champion_version: its version in the registry.
        progress: called with what is being done, how many samples are done, and of how many.
        cache: where a pretrained backbone's activations are kept; those of training are taken from there.

    Raises:
        DataError: the training set cannot be read, or has no test samples.
        StorageError: the model cannot be read, or the results cannot be written.
        ServingError: the champion's package is damaged.
    """
    from linnet.vision.networks import load_model

    test, validation = read_split(training_set, "test"), read_split(training_set, "validation")
    if not len(test):
        raise DataError(
            str(training_set), "the test split is empty", "add images, or raise data.test_fraction"
        )
    network = load_model(model)
    known = Known(network, training_set, cache)
    tuning = _unseen(model, known.predict(validation, "validation", progress), training_set)
    outputs = known.predict(test, "test", progress)
    score = score_of(test.task)
    fitted = score.fit(tuning.logits, validation.labels)
    calibrated = score.results(test.labels, outputs.logits, fitted)
    uncalibrated = score.results(test.labels, outputs.logits, replace(fitted, temperature=1.0))
    comparison: Comparison | None = None
    remarks: list[str] = []
    if champion is not None:
        comparison, remarks = against_champion(
            calibrated, fitted, test, champion, champion_version, evaluation.confidence, progress
        )
    report = measure(
        calibrated,
        uncalibrated,
        test.ids,
        test.classes,
        test.cohorts,
        fitted,
        comparison,
        evaluation,
        test.task,
    )
    decision = evaluate_gates(report, gates, evaluation.confidence)
    evidence = ReportData(
        calibrated,
        uncalibrated,
        test.images,
        test.ids,
        evaluation,
        gates,
        len(validation),
        tuple(remarks),
        _truth(test),
        answer_of(test.task, test.classes, fitted.thresholds).labels(calibrated.probabilities),
    )
    _write(out, report, decision, evidence, test, outputs.embeddings)
    write_candidates(
        out,
        known,
        training_set,
        CalibratedPredictions(validation, tuning, fitted),
        evaluation.candidates,
        progress,
    )
    return report, decision


def _unseen(model: Path, outputs: Outputs, training_set: Path) -> Outputs:
    """What the model said of the validation split before it learned from it, too, if it did."""
    about = TrainingSetManifest.load(training_set / "training_set.json")
    digest = f"{about.dataset_digest}/{about.labels_digest}"
    logits = read_validation_logits(model, digest, len(outputs.logits))
    return outputs if logits is None else replace(outputs, logits=logits)


def against_champion(
    candidate: Results,
    fitted: Fitted,
    test: HeldOut,
    champion: Path,
    version: str,
    confidence: float,
    progress: Progress | None = None,
) -> tuple[Comparison, list[str]]:
    """Compares with the champion's package on the same samples; second: what a reviewer must know.

    Classes are matched by name. A champion of another image size gets the test images resized.

    Raises:
        DataError: the champion was asked something else of an image.
    """
    from linnet.artifacts.onnx_model import PackagedModel

    packaged = PackagedModel.load(champion)
    about = packaged.package
    if about.task != test.task:
        raise DataError(
            f"champion {version or about.name}",
            f"its task is {about.task}, that of the training set is {test.task}",
            "give the new use case another name, or registry.model",
        )
    remarks = []
    if (about.height, about.width, about.channels) != test.images.shape[1:]:
        remarks.append(
            f"the champion takes images of {about.height} x {about.width} x {about.channels}; "
            "it was given the candidate's test images, resized"
        )
    if unknown := [name for name in test.classes if name not in about.classes]:
        remarks.append(f"the champion does not know {', '.join(unknown)}: it is wrong on those samples")
    agreement = agreement_of(test.task)
    ours = answer_of(test.task, test.classes, fitted.thresholds).labels(candidate.probabilities)
    theirs = _champion_answers(packaged, test, progress)
    truth = _truth(test)
    own = np.array([agreement(a, b) for a, b in zip(ours, truth, strict=True)])
    own = np.where(np.isfinite(candidate.probabilities).all(axis=1), own, 0.0)
    other = np.array([agreement(a, b) for a, b in zip(theirs, truth, strict=True)])
    alike = float(np.mean([agreement(a, b) for a, b in zip(ours, theirs, strict=True)]))
    return compare_to_champion(own, other, alike, version or about.name, confidence), remarks


def _truth(split: HeldOut) -> list[str]:
    target = target_of(split.task)
    return [target.decode(row, split.classes) for row in split.labels]


def _champion_answers(packaged: PackagedModel, test: HeldOut, progress: Progress | None) -> list[str]:
    """What the champion says of each image, in its own classes: [N]."""
    from linnet.vision.decode import color_of, resize

    about = packaged.package
    size = (about.height, about.width, about.channels)
    same = size == test.images.shape[1:]
    columns = [test.feature_names.index(n) for n in about.features if n in test.feature_names]
    stored = same and len(columns) == len(about.features)
    said: list[str] = []
    step = batch_size(test.images)
    for start in range(0, len(test), step):
        images = np.array(test.images[start : start + step])
        if not same:
            color = color_of(about.channels)
            images = np.stack([resize(one, about.height, about.width, color) for one in images])
        features = test.features[start : start + step, columns] if stored else None
        probabilities, _ = packaged.predict(images, features)
        said += packaged.answer.labels(probabilities)
        if progress:
            progress("champion predictions", min(start + step, len(test)), len(test))
    return said


def _write(
    out: Path,
    report: EvaluationReport,
    decision: GateDecision,
    evidence: ReportData,
    test: HeldOut,
    embeddings: Floats32,
) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
        report.save(out / EVALUATION_FILE)
        decision.save(out / GATES_FILE)
        np.savez(  # entries carry the zip epoch, 1980, so equal arrays give equal bytes
            out / PREDICTIONS_FILE,
            ids=np.array(test.ids, "S32"),
            labels=test.labels,
            probabilities=evidence.calibrated.probabilities.astype(np.float32),
            embeddings=embeddings,
        )
        write_report(out / REPORT_FILE, report, decision, evidence)
    except OSError as error:
        raise StorageError(f"{out}: the evaluation cannot be written ({error}); free some space") from error
