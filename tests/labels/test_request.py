"""request_labels: a durable queue that the same evaluation fills once."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from linnet.config import LabelsConfig
from linnet.errors import DataError
from linnet.labels.request import LabelRequests, queued, request_labels
from linnet.labels.table import LabelRow, LabelTable
from linnet.records import EvaluationReport
from tests.labels.sample_tables import CLASSES, write_samples

CONFIG = LabelsConfig(budget=10)
IDS = [f"{i:032x}" for i in range(50)]


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    return write_samples(tmp_path / "samples", dict.fromkeys(IDS, "bag"))


def evaluate(folder: Path, ids: list[str] = IDS, seed: int = 0, embeddings: bool = True) -> Path:
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    arrays = {
        "ids": np.array(ids, "S32"),
        "labels": np.zeros(len(ids), np.int64),
        "probabilities": random.dirichlet(np.ones(3), len(ids)).astype(np.float32),
    }
    if embeddings:
        arrays["embeddings"] = random.normal(size=(len(ids), 4)).astype(np.float32)
    np.savez(folder / "predictions.npz", **arrays)  # type: ignore[arg-type]
    EvaluationReport(
        samples=len(ids),
        classes=CLASSES,
        metrics={},
        per_class={},
        confusion=(),
        cohorts=(),
        temperature=1.0,
        ece_before=0.0,
        comparison=None,
        suspects=(ids[5], ids[3]),
    ).save(folder / "evaluation.json")
    return folder


def test_request_labels_writes_and_queues_the_budget(samples: Path, tmp_path: Path) -> None:
    requests = request_labels(evaluate(tmp_path / "e"), samples, CONFIG, "d", tmp_path / "o")
    assert len(requests) == 10 == len({request.sample_id for request in requests})
    assert queued("d") == requests
    assert list(LabelRequests.load(tmp_path / "o" / "requests.json").requests) == requests
    by_id = {request.sample_id: request for request in requests}
    assert by_id[IDS[5]].reasons[0] in ("suspect", "random")
    stored = np.load(tmp_path / "e" / "predictions.npz")["probabilities"][5]
    assert by_id[IDS[5]].predicted == CLASSES[int(stored.argmax())]
    assert by_id[IDS[5]].confidence == pytest.approx(float(stored.max()), abs=1e-6)
    assert by_id[IDS[5]].label == "bag"


def test_request_labels_same_evaluation_again_asks_nothing_twice(samples: Path, tmp_path: Path) -> None:
    evaluation = evaluate(tmp_path / "e")
    first = request_labels(evaluation, samples, CONFIG, "d", tmp_path / "o")
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    LabelTable("d").append([LabelRow(sample_id=IDS[5], label="boot", annotator="a", labelled_at=moment)])
    assert request_labels(evaluation, samples, CONFIG, "d", tmp_path / "o2") == first
    assert queued("d") == first
    assert (tmp_path / "o" / "requests.json").read_bytes() == (tmp_path / "o2" / "requests.json").read_bytes()


def test_request_labels_next_batch_leaves_out_asked_answered_and_unknown(
    samples: Path, tmp_path: Path
) -> None:
    first = request_labels(evaluate(tmp_path / "e"), samples, CONFIG, "d", tmp_path / "o")
    asked = {request.sample_id for request in first}
    answered = next(key for key in IDS if key not in asked)
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    LabelTable("d").append([LabelRow(sample_id=answered, label="boot", annotator="a", labelled_at=moment)])
    other = evaluate(tmp_path / "e2", [*IDS, "f" * 32], seed=1)
    everything = LabelsConfig(budget=1000)
    second = request_labels(other, samples, everything, "d", tmp_path / "o2")
    assert {request.sample_id for request in second} == set(IDS) - asked - {answered}
    assert queued("d") == first + second and second[0].batch != first[0].batch


def test_request_labels_without_embeddings_or_budget(samples: Path, tmp_path: Path) -> None:
    evaluation = evaluate(tmp_path / "e", embeddings=False)
    assert request_labels(evaluation, samples, LabelsConfig(budget=0), "d", tmp_path / "o") == []
    assert json.loads((tmp_path / "o" / "requests.json").read_text())["requests"] == []
    assert len(request_labels(evaluation, samples, CONFIG, "d", tmp_path / "o")) == 10


def test_request_labels_damaged_predictions_are_a_data_error(samples: Path, tmp_path: Path) -> None:
    evaluation = evaluate(tmp_path / "e")
    (evaluation / "predictions.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(DataError, match="evaluate again"):
        request_labels(evaluation, samples, CONFIG, "d", tmp_path / "o")
    assert queued("d") == []
