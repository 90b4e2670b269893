"""Whom a labelling round may ask about, read from what `evaluate` and the server wrote.

The pool is the training side of the dataset (training, validation and production splits) and what
users sent to the served model. Test samples only take part in the audit: drawn at random, whatever
the model thinks of them, so that no knowledge of the test reaches the choice of training labels.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from linnet.errors import DataError
from linnet.labels.select import CandidatePool
from linnet.records import EvaluationReport
from linnet.records.prediction_log import RANDOM, holds, served_files
from linnet.storage.paths import prediction_log_dir
from linnet.tasks.answer import Output, answer_of
from linnet.tasks.target import target_of

logger = logging.getLogger(__name__)

CANDIDATES_FILE, PREDICTIONS_FILE = "candidates.npz", "predictions.npz"
GOLD_CONFIDENCE = 0.97
"""A label is taken as known where a model that did not train on it is so sure of the very same one."""
_LATEST_REQUESTS = 2_000
_LOG_FILES = 5_000
"""Of the model's files that hold an image, the newest that are read, until they held enough of them: a quiet
server writes one file per request."""
_MOST_FOOTERS = 50_000
"""The newest files that are looked at for those: a busy server writes two a second."""
Floats32 = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Candidates:
    """The pool, and what is known of each sample besides."""

    pool: CandidatePool
    labels: Mapping[str, str]
    """The label a sample has now; a production request has none."""
    images: Mapping[str, bytes]
    """Images that are not in the sample table: those of production requests."""
    digest: str
    """16 hex digits over everything that the choice depends on."""


def read_candidates(
    evaluation: Path, report: EvaluationReport, labels: Mapping[str, str], model: str
) -> Candidates:
    """Everything that may be asked about after an evaluation.

    Args:
        evaluation: Folder of `evaluate` (candidates.npz, predictions.npz).
        report: The evaluation's report.
        labels: The label that the dataset gives each sample; other samples are left out.
        model: The name that the served model is registered by.

    Raises:
        DataError: the evaluation's files cannot be read or do not fit.
    """
    known = _read(evaluation / CANDIDATES_FILE, report)
    test = _read(evaluation / PREDICTIONS_FILE, report)
    asked = {key: row for key, row in _requests(model, report).items() if key not in labels}
    ids = [*known.ids, *test.ids, *asked]
    said = [known.output, test.output, *(row[0] for row in asked.values())]
    width = known.embeddings.shape[1]
    blank = np.zeros((len(test.ids) + len(asked), width), np.float32)
    keep = [i for i, key in enumerate(ids) if key in labels or key in asked]
    pool = CandidatePool(
        ids=[ids[i] for i in keep],
        output=np.concatenate(said)[keep],
        embeddings=np.concatenate([known.embeddings, blank])[keep],
        suspects=[key for key in known.suspects if key in labels],
        requests=list(asked),
        fair=[key for key, row in asked.items() if row[2]],
        gold=[key for key in _gold(known, labels, report) if key in labels],
        audit=[key for key in test.ids if key in labels],
        task=report.task,
        thresholds=report.thresholds,
    )
    digest = hashlib.blake2b(json.dumps([pool.ids, list(pool.suspects)]).encode(), digest_size=8)
    digest.update(np.ascontiguousarray(pool.output).tobytes())
    images = {key: row[1] for key, row in asked.items()}
    return Candidates(pool, labels, images, digest.hexdigest())


@dataclass(frozen=True)
class _Stored:
    """Arrays of N samples as `evaluate` wrote them."""

    ids: tuple[str, ...]
    output: Floats32
    embeddings: Floats32
    suspects: tuple[str, ...] = ()
    held_out: frozenset[str] = frozenset()


def _read(path: Path, report: EvaluationReport) -> _Stored:
    answer = answer_of(report.task, report.classes, report.thresholds)
    try:
        with path.open("rb") as stream, np.load(stream) as stored:
            ids = tuple(key.decode() for key in stored["ids"].tolist())
            extra = "suspects" in stored.files
            found = _Stored(
                ids=ids,
                output=stored[answer.output_name],
                embeddings=stored["embeddings"].astype(np.float32),
                suspects=tuple(ids[i] for i in stored["suspects"].tolist()) if extra else (),
                held_out=frozenset(
                    key for key, held in zip(ids, stored["held_out"].tolist(), strict=True) if held
                )
                if extra
                else frozenset(),
            )
    except (OSError, ValueError, KeyError, AttributeError, IndexError, BadZipFile) as error:
        raise DataError(str(path), f"the predictions cannot be read ({error})", "evaluate again") from error
    wanted = (len(ids), len(report.classes))
    if answer.by_class(found.output).shape != wanted or len(found.embeddings) != len(ids):
        problem = f"{answer.output_name} are {found.output.shape}, but samples and classes are {wanted}"
        raise DataError(str(path), problem, "evaluate again")
    return found


def _gold(known: _Stored, labels: Mapping[str, str], report: EvaluationReport) -> list[str]:
    """Held-out samples whose label a model that never saw them is sure of as well."""
    said = np.nan_to_num(known.output)
    answer = answer_of(report.task, report.classes, report.thresholds)
    sure, named = answer.confidence(said) >= GOLD_CONFIDENCE, answer.labels(said)
    return [
        key
        for i, key in enumerate(known.ids)
        if sure[i] and key in known.held_out and labels.get(key) == named[i]
    ]


def log_state(model: str) -> list[tuple[str, int, int]]:
    """Place, size and time of change of the files of a model's latest requests: the same, the same ones."""
    found = []
    for file in _log_files(model):
        with contextlib.suppress(FileNotFoundError):  # it is being replaced, and another one then
            about = file.stat()
            found.append((str(file), about.st_size, about.st_ctime_ns))
    return found


def _log_files(model: str) -> list[Path]:
    """The newest files that may hold an image of the model, the newest first: others do not count.

    A file that cannot be read is told and passed over.
    """
    # By their names, which begin with the time: some may lie in folders, such as those of another month.
    files = sorted(served_files(prediction_log_dir()), key=lambda path: path.name, reverse=True)
    newest = files[:_MOST_FOOTERS]
    return list(islice((file for file in newest if _may_hold(file, model)), _LOG_FILES))


def _may_hold(file: Path, model: str) -> bool:
    try:
        held = holds(file)
    except (OSError, ValueError) as error:
        _tell(f"requests in {file} are not asked about: {error}")
        return False
    return held.images > 0 and (held.models is None or held.models[0] <= model <= held.models[1])


@lru_cache(1000)
def _tell(problem: str) -> None:
    """Once a process: the queue is made anew every few minutes."""
    logger.warning(problem)


def _requests(model: str, report: EvaluationReport) -> dict[str, tuple[Output, bytes, bool]]:
    """Output [1, ...] and image of the latest requests whose image the prediction log kept, by sample_id, and
    whether it was kept by chance.

    Those of a version with other classes than the evaluation's are left out, and that is told: its numbers
    would be read as of these classes.
    """
    found: dict[str, tuple[str, Output, bytes, bool]] = {}
    columns = ["model", "version", "ok", "sample_id", "probabilities", "predicted", "image"]
    others: set[str] = set()
    for file in _log_files(model):
        try:
            more = ["kept_for"] if "kept_for" in pq.read_schema(file).names else []  # older files have none
            rows = pq.read_table(file, columns=[*columns, *more]).to_pylist()
        except (OSError, pa.ArrowException) as error:
            _tell(f"requests in {file} are not asked about: {error}")
            continue
        for row in rows:
            if not row["ok"] or row["model"] != model or row["image"] is None:
                continue
            version = str(row["version"])
            said = _unpacked(report, row["probabilities"] or [], str(row["predicted"]))
            if said is not None:
                fair = (row.get("kept_for") or RANDOM) == RANDOM
                found.setdefault(row["sample_id"], (version, said, row["image"], fair))
            else:
                others.add(version)
        if len(found) >= _LATEST_REQUESTS:
            break
    for version in sorted(others):
        _tell(f"requests to version {version} of {model} are not asked about: it has other classes")
    return {
        key: (said, image, fair)
        for key, (version, said, image, fair) in found.items()
        if version not in others
    }


def _unpacked(report: EvaluationReport, values: list[float], predicted: str) -> Output | None:
    """What a version said that named `predicted`; None: it has not the classes of the evaluation."""
    target, answer = target_of(report.task), answer_of(report.task, report.classes, report.thresholds)
    try:
        said = answer.unpacked(np.asarray(values, np.float32), np.array([len(values)]))
    except ValueError:
        return None
    if target.several:
        return said if set(report.classes).issuperset(target.classes(predicted)) else None
    return said if answer.labels(said) == [predicted] else None
