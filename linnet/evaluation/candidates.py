"""What the model says of the samples that people may be asked about, for the labelling round."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from linnet.artifacts.training_set import HeldOut, read_split
from linnet.errors import StorageError
from linnet.evaluation.cached_predictor import CachedPredictor
from linnet.evaluation.predict import Outputs
from linnet.progress import Progress
from linnet.tasks.answer import answer_of
from linnet.tasks.score import Fitted, score_of

CANDIDATES_FILE = "candidates.npz"


@dataclass(frozen=True)
class CalibratedPredictions:
    """The validation split, what the network said of it, and what was fitted on that."""

    split: HeldOut
    outputs: Outputs
    fitted: Fitted


def write_candidates(
    out: Path,
    predictor: CachedPredictor,
    training_set: Path,
    tuned: CalibratedPredictions,
    most: int,
    progress: Progress | None,
) -> None:
    """Writes out/candidates.npz: validation and production samples, and up to `most` training samples.

    Arrays: ids `S32` [N], held_out bool [N] (the network did not train on it), labels as the training set
    has them [N], the task's calibrated output float32, embeddings float16 [N, D], suspects int64 (indices,
    the most doubtful label first). Test samples are not there: choosing by them would leak the test.

    Which training samples these are changes from model to model, and is the same for equal inputs.
    A network doubts a wrong label of its own training samples less than it should, yet in the few
    epochs of a usual training it does not learn wrong labels by heart (benchmarks/labels.py).
    """
    production = read_split(training_set, "production")
    train, rows = _drawn(read_split(training_set, "train"), tuned.outputs, most)
    said = [tuned.outputs]
    if len(production):
        said.append(predictor.predict(production, "production", progress))
    if len(train):
        said.append(predictor.predict_rows(train, "train", rows, progress))
    splits = [split for split in (tuned.split, production, train) if len(split)]
    said = [one for one in said if len(one.logits)]
    labels = np.concatenate([split.labels for split in splits])
    score = score_of(tuned.split.task)
    name = answer_of(tuned.split.task, tuned.split.classes).output_name
    results = score.results(labels, np.concatenate([one.logits for one in said]), tuned.fitted)
    try:
        np.savez(
            out / CANDIDATES_FILE,
            ids=np.array([key for split in splits for key in split.ids], "S32"),
            held_out=np.concatenate([np.full(len(split), split is not train) for split in splits]),
            labels=labels,
            embeddings=np.concatenate([one.embeddings for one in said]).astype(np.float16),
            suspects=score.ranked(results),
            **{name: results.output.astype(np.float32)},
        )
    except OSError as error:
        raise StorageError(f"{out}: the candidates cannot be written ({error}); free some space") from error


def _drawn(split: HeldOut, outputs: Outputs, most: int) -> tuple[HeldOut, npt.NDArray[np.int64]]:
    """At most `most` samples of the split, and their rows, drawn by what this network says alone."""
    seed = hashlib.blake2b(np.ascontiguousarray(outputs.logits).tobytes(), digest_size=8).digest()
    order = np.random.default_rng(int.from_bytes(seed)).permutation(len(split))[:most]
    rows = np.sort(order)
    drawn = replace(
        split,
        images=split.images[rows],
        labels=split.labels[rows],
        features=split.features[rows],
        ids=tuple(split.ids[i] for i in rows),
        cohorts={name: values[rows] for name, values in split.cohorts.items()},
    )
    return drawn, rows
