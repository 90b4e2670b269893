"""The gate against the champion once more, where the champion is no longer the one it was judged by.

A release may wait hours for its turn, or be resumed days later; another model may have been promoted since.
What the candidate said of the test split is kept, so that only the new champion has to be asked.
"""

from __future__ import annotations

from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from linnet.artifacts.training_set import HeldOut, read_split
from linnet.config import EvaluationConfig, GatesConfig
from linnet.errors import DataError, StorageError
from linnet.evaluation.evaluate import EVALUATION_FILE, PREDICTIONS_FILE, against_champion
from linnet.evaluation.gates import non_inferiority
from linnet.progress import Progress
from linnet.records import EvaluationReport, Gate
from linnet.statistics.metrics import Predictions


def judge_by_new_champion(
    evaluated: Path,
    training_set: Path,
    champion: Path | None,
    version: str | None,
    evaluation: EvaluationConfig,
    gates: GatesConfig,
    progress: Progress | None = None,
) -> Gate | None:
    """The gate `non_inferiority` against `champion`; None: nothing is to be judged again.

    Args:
        evaluated: folder that `evaluate` wrote: its comparison, and the candidate's predictions.
        training_set: the folder whose test split they are of.
        champion: package folder of the present champion; None: there is none, so nobody to be held against.
        version: its version in the registry.
        evaluation: the interval's level.
        gates: the margin.
        progress: called with what is being done, how many samples are done, and of how many.

    Raises:
        DataError: the training set cannot be read, or the predictions are not of its test split.
        StorageError: the evaluation cannot be read.
        ServingError: the champion's package is damaged.
    """
    report = EvaluationReport.load(evaluated / EVALUATION_FILE)
    before = report.comparison.champion if report.comparison else None
    if champion is None or version is None or before == version:
        return None
    test = read_split(training_set, "test")
    comparison, remarks = against_champion(
        _predictions(evaluated / PREDICTIONS_FILE, test),
        test,
        champion,
        version,
        evaluation.confidence,
        progress,
    )
    report = report.model_copy(update={"comparison": comparison})
    gate = non_inferiority(report, gates, evaluation.confidence)
    was = f"champion {before}" if before else "no champion"
    evidence = "; ".join(
        [f"judged again, as the gates knew {was} and it is {version} now: {gate.evidence}", *remarks]
    )
    return gate.model_copy(update={"evidence": evidence})


def _predictions(path: Path, test: HeldOut) -> Predictions:
    """What the candidate said of the test split when it was evaluated."""
    try:
        with path.open("rb") as file, np.load(file) as stored:
            ids, labels = stored["ids"], stored["labels"]
            probabilities = stored["probabilities"].astype(np.float64)
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise StorageError(
            f"{path}: the predictions cannot be read ({error}); run the evaluation again"
        ) from error
    if not np.array_equal(ids, np.array(test.ids, "S32")) or not np.array_equal(labels, test.labels):
        raise DataError(str(path), "these are predictions of another test split", "run the evaluation again")
    return Predictions(labels, probabilities)
