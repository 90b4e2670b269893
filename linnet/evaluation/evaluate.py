"""The evaluate step: predict the held-out splits, measure, compare, decide, and write it all down."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from linnet.artifacts.training_set import HeldOut, read_split
from linnet.artifacts.validation_logits import unseen_logits
from linnet.artifacts.windows import SOURCE
from linnet.cache.store import Cache
from linnet.config import EvaluationConfig, GatesConfig
from linnet.errors import DataError, StorageError
from linnet.evaluation.cached_predictor import CachedPredictor
from linnet.evaluation.candidates import CalibratedPredictions, write_candidates
from linnet.evaluation.champion import ChampionAnswers, ask_champion
from linnet.evaluation.compare import agreements, compare_to_champion
from linnet.evaluation.gates import evaluate_gates
from linnet.evaluation.measure import measure
from linnet.evaluation.predict import Floats32, Outputs
from linnet.evaluation.regressions import regression_sets
from linnet.evaluation.report import write_report
from linnet.evaluation.sample_images import ReportData
from linnet.progress import Progress
from linnet.records import Comparison, EvaluationReport, GateDecision, RegressionSet
from linnet.tasks.answer import answer_of
from linnet.tasks.score import Results, score_of
from linnet.tasks.target import target_of

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

    All is measured on the dataset's own test samples. What production windows hold out for the test is
    judged by itself, so that a window that joins moves no other number.

    Args:
        model: folder with `model.pt`.
        training_set: folder that `build_features` wrote.
        evaluation: levels, bins, seed.
        gates: thresholds.
        out: folder to write evaluation.json, gates.json, predictions.npz (test split: ids `S32` [N],
            labels as the training set has them, the task's calibrated output float32, embeddings
            float32 [N, D]), candidates.npz (see `evaluation.candidates`) and report.html into. Equal
            inputs give equal bytes.
        champion: package folder of the present champion, if there is one.
        champion_version: its version in the registry.
        progress: called with what is being done, how many samples are done, and of how many.
        cache: where a pretrained backbone's activations are kept; those of training are taken from there.

    Raises:
        DataError: the training set cannot be read, or has no test samples; or the champion has another task.
        StorageError: the model cannot be read, or the results cannot be written.
        ServingError: the champion's package is damaged.
    """
    from linnet.tasks.model import load_network

    whole, validation = read_split(training_set, "test"), read_split(training_set, "validation")
    own = whole.dataset_samples
    test, windows = whole.part(0, own), whole.part(own, len(whole))
    if not len(test):
        raise DataError(
            str(training_set), "the test split is empty", "add images, or raise data.test_fraction"
        )
    network = load_network(model, whole.task)
    predictor = CachedPredictor(network, training_set, cache)
    tuning = _unseen(model, predictor.predict(validation, "validation", progress), training_set)
    outputs = predictor.predict(whole, "test", progress)
    score = score_of(whole.task)
    fitted = score.fit(tuning.logits, validation.labels, len(whole.classes))
    everything = score.results(whole.labels, outputs.logits, fitted)
    calibrated = score.described(test.labels, everything.output[:own], fitted.thresholds)
    uncalibrated = score.results(test.labels, outputs.logits[:own], replace(fitted, temperature=1.0))
    answer = answer_of(whole.task, whole.classes, fitted.thresholds)
    said = answer.labels(everything.output)
    truth = whole.truth
    rival = None if champion is None else ask_champion(whole, champion, champion_version, progress)
    own_cohorts = {name: values for name, values in test.cohorts.items() if name != SOURCE}
    cohorts = target_of(whole.task).cohorts(test.labels) | own_cohorts
    compared = None if rival is None else _compare(calibrated, test, said, truth, rival, evaluation)
    report = measure(
        calibrated, uncalibrated, test.ids, test.classes, cohorts, fitted, compared, evaluation, whole.task
    )
    regressions = _regressions(everything, windows, said, truth, rival, evaluation.confidence)
    report = report.model_copy(
        update={"regressions": regressions, "test_digest": _digest(test.ids, truth[:own])}
    )
    remarks = rival.remarks if rival else ()
    decision = evaluate_gates(report, gates, evaluation.confidence)
    evidence = ReportData(
        calibrated, uncalibrated, test.images, test.ids, evaluation, gates, len(validation), remarks,
        truth[:own], said[:own], answer.confidence(calibrated.output),
    )  # fmt: skip
    _write(out, report, decision, evidence, test, outputs.embeddings[:own])
    tuned = CalibratedPredictions(validation, tuning, fitted)
    write_candidates(out, predictor, training_set, tuned, evaluation.max_label_candidates, progress)
    return report, decision


def _unseen(model: Path, outputs: Outputs, training_set: Path) -> Outputs:
    """What the model said of the validation split before it learned from it, too, if it did."""
    logits = unseen_logits(model, training_set, len(outputs.logits))
    return outputs if logits is None else replace(outputs, logits=logits)


def _digest(ids: Sequence[str], labels: Sequence[str]) -> str:
    """32 hex digits over the samples with their labels, in whatever order they come."""
    rows = sorted(zip(ids, labels, strict=True))
    return hashlib.blake2b(json.dumps(rows).encode(), digest_size=16).hexdigest()


def _compare(
    candidate: Results,
    test: HeldOut,
    said: Sequence[str],
    truth: Sequence[str],
    champion: ChampionAnswers,
    config: EvaluationConfig,
) -> Comparison:
    """Candidate and champion on the dataset's own test samples; in the champion's answers they come first."""
    count = candidate.samples
    theirs = agreements(test.task, champion.said[:count], truth[:count])
    alike = agreements(test.task, said[:count], champion.said[:count])
    found = compare_to_champion(
        candidate.scores, theirs, float(alike.mean()), champion.version, config.confidence
    )
    return found.model_copy(update={"metrics": champion.metrics(test.labels, config)})


def _regressions(
    everything: Results,
    windows: HeldOut,
    said: Sequence[str],
    truth: Sequence[str],
    champion: ChampionAnswers | None,
    confidence: float,
) -> tuple[RegressionSet, ...]:
    """What the production windows ask again; their samples come last in `everything`."""
    if not len(windows):
        return ()
    own, theirs = everything.samples - len(windows), None
    alike = np.zeros(len(windows))
    if champion is not None:
        theirs = agreements(windows.task, champion.said[own:], truth[own:])
        alike = agreements(windows.task, said[own:], champion.said[own:])
    version = champion.version if champion else ""
    ours = everything.scores[own:]
    return regression_sets(windows.cohorts[SOURCE], ours, theirs, alike, version, confidence)


def _write(
    out: Path,
    report: EvaluationReport,
    decision: GateDecision,
    evidence: ReportData,
    test: HeldOut,
    embeddings: Floats32,
) -> None:
    name = answer_of(test.task, test.classes).output_name
    try:
        out.mkdir(parents=True, exist_ok=True)
        report.save(out / EVALUATION_FILE)
        decision.save(out / GATES_FILE)
        np.savez(  # entries carry the zip epoch, 1980, so equal arrays give equal bytes
            out / PREDICTIONS_FILE,
            ids=np.array(test.ids, "S32"),
            labels=test.labels,
            embeddings=embeddings,
            **{name: evidence.calibrated.output.astype(np.float32)},  # type: ignore[arg-type]
        )
        write_report(out / REPORT_FILE, report, decision, evidence)
    except OSError as error:
        raise StorageError(f"{out}: the evaluation cannot be written ({error}); free some space") from error
