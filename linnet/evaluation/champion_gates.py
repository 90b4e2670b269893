"""The gates against the champion once more, where it is no longer the one that they were judged by.

A release may wait hours for its turn, or be resumed days later; another model may have been promoted since.
What the candidate said of the test split is kept, so that the new champion alone is asked about it.
"""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from linnet.artifacts.training_set import HeldOut, read_split
from linnet.artifacts.windows import SOURCE
from linnet.config import EvaluationConfig, GatesConfig
from linnet.errors import DataError, StorageError
from linnet.evaluation.champion import ask_champion
from linnet.evaluation.compare import agreements, compare_to_champion
from linnet.evaluation.evaluate import EVALUATION_FILE, PREDICTIONS_FILE
from linnet.evaluation.gates import evaluate_champion_gates
from linnet.evaluation.regressions import regression_sets
from linnet.progress import Progress
from linnet.records import EvaluationReport, GateDecision, RegressionSet
from linnet.tasks.answer import answer_of

_NOTHING = "\0"
"""In place of an answer that is no number: no label is written so."""


def judge_by_new_champion(
    evaluated: Path,
    training_set: Path,
    package: Path,
    candidate: str,
    champion: Path | None,
    version: str | None,
    evaluation: EvaluationConfig,
    gates: GatesConfig,
    progress: Progress | None = None,
) -> GateDecision | None:
    """`non_inferiority` and the regression gates against `champion`; None: nothing is to be judged again.

    Args:
        evaluated: folder that `evaluate` wrote: its comparison, and the candidate's predictions.
        training_set: the folder whose test split they are of.
        package: the candidate's package folder; it is asked about production windows, which are not kept.
        candidate: its version in the registry.
        champion: package folder of the present champion; None: there is none, so nobody to be held against.
        version: its version in the registry.
        evaluation: the intervals' level.
        gates: the margin.
        progress: called with what is being done, how many samples are done, and of how many.

    Raises:
        DataError: the training set cannot be read, or the predictions are not of its test split.
        StorageError: the evaluation cannot be read.
        ServingError: a package is damaged.
    """
    report = EvaluationReport.load(evaluated / EVALUATION_FILE)
    before = report.comparison.champion if report.comparison else None
    if champion is None or version is None or version in (before, candidate):
        return None
    whole = read_split(training_set, "test")
    own = whole.dataset_samples
    task, truth = whole.task, whole.truth
    ours = _kept_answers(evaluated / PREDICTIONS_FILE, whole.part(0, own), report.thresholds)
    rival = ask_champion(whole, champion, version, progress)
    theirs = agreements(task, rival.said, truth)
    alike = float(agreements(task, ours, rival.said[:own]).mean())
    compared = compare_to_champion(
        agreements(task, ours, truth[:own]), theirs[:own], alike, version, evaluation.confidence
    )
    windows = whole.part(own, len(whole))
    sets: tuple[RegressionSet, ...] = ()
    if len(windows):
        now = ask_champion(windows, package, candidate, progress).said
        sets = regression_sets(
            windows.cohorts[SOURCE],
            agreements(task, now, truth[own:]),
            theirs[own:],
            agreements(task, now, rival.said[own:]),
            version,
            evaluation.confidence,
        )
    report = report.model_copy(update={"comparison": compared, "regressions": sets})
    decision = evaluate_champion_gates(report, gates, evaluation.confidence)
    was = f"champion {before}" if before else "no champion"
    told = [f"the gates knew {was} and it is {version} now", *rival.remarks]
    again = [
        gate.model_copy(update={"evidence": "; ".join([gate.evidence, *told])}) for gate in decision.gates
    ]
    return decision.model_copy(update={"gates": tuple(again)})


def _kept_answers(path: Path, test: HeldOut, thresholds: tuple[float, ...]) -> list[str]:
    """What the candidate said of the test split when it was evaluated: [N]."""
    answer = answer_of(test.task, test.classes, thresholds)
    try:
        with path.open("rb") as file, np.load(file) as stored:
            ids, labels = stored["ids"], stored["labels"]
            output = stored[answer.output_name].astype(np.float64)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise StorageError(
            f"{path}: the predictions cannot be read ({error}); run the evaluation again"
        ) from error
    if not np.array_equal(ids, np.array(test.ids, "S32")) or not np.array_equal(labels, test.labels):
        raise DataError(str(path), "these are predictions of another test split", "run the evaluation again")
    finite = np.isfinite(output).all(axis=tuple(range(1, output.ndim)))
    said = answer.labels(output)
    return [label if known else _NOTHING for label, known in zip(said, finite, strict=True)]
