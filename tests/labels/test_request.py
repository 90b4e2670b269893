"""request_labels: a durable queue that the same evaluation fills once."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from linnet.config import LabelsConfig
from linnet.errors import DataError
from linnet.labels.candidates import log_state
from linnet.labels.queue import LabelRequests, queued
from linnet.labels.request import request_labels
from linnet.labels.rounds import Rounds
from linnet.labels.table import LabelRow, LabelTable
from linnet.records import EvaluationReport
from linnet.records.prediction_log import served_schema
from tests.labels.sample_tables import CLASSES, write_samples

CONFIG = LabelsConfig(budget=10)
IDS = [f"{i:032x}" for i in range(50)]


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    return write_samples(tmp_path / "samples", dict.fromkeys(IDS, "bag"))


def evaluate(folder: Path, ids: list[str] = IDS, seed: int = 0, test: list[str] | None = None) -> Path:
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)

    def arrays(names: list[str]) -> dict[str, Any]:
        return {
            "ids": np.array(names, "S32"),
            "labels": np.zeros(len(names), np.int64),
            "probabilities": random.dirichlet(np.ones(3) * 0.3, len(names)).astype(np.float32),
            "embeddings": random.normal(size=(len(names), 4)).astype(np.float32),
        }

    more = {"held_out": np.arange(len(ids)) % 2 == 0, "suspects": np.array([5, 3])}
    np.savez(folder / "candidates.npz", **arrays(ids), **more)
    np.savez(folder / "predictions.npz", **arrays(test or []))
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
        suspects=(),
    ).save(folder / "evaluation.json")
    return folder


def test_request_labels_writes_and_queues_the_budget(samples: Path, tmp_path: Path) -> None:
    requests = request_labels(evaluate(tmp_path / "e"), samples, CONFIG, "d", tmp_path / "o")
    assert len(requests) == 10 == len({request.sample_id for request in requests})
    assert queued("d") == requests
    assert list(LabelRequests.load(tmp_path / "o" / "requests.json").requests) == requests
    by_id = {request.sample_id: request for request in requests}
    assert by_id[IDS[5]].reasons[0] in ("suspect", "random", "gold")
    stored = np.load(tmp_path / "e" / "candidates.npz")["probabilities"][5]
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


def test_request_labels_without_a_budget_asks_nothing(samples: Path, tmp_path: Path) -> None:
    evaluation = evaluate(tmp_path / "e")
    assert request_labels(evaluation, samples, LabelsConfig(budget=0), "d", tmp_path / "o") == []
    assert json.loads((tmp_path / "o" / "requests.json").read_text())["requests"] == []
    assert len(request_labels(evaluation, samples, CONFIG, "d", tmp_path / "o")) == 10


def test_request_labels_damaged_predictions_are_a_data_error(samples: Path, tmp_path: Path) -> None:
    evaluation = evaluate(tmp_path / "e")
    (evaluation / "candidates.npz").write_bytes(b"PK\x03\x04 cut")
    with pytest.raises(DataError, match="evaluate again"):
        request_labels(evaluation, samples, CONFIG, "d", tmp_path / "o")
    assert queued("d") == []


def test_request_labels_keeps_the_images_and_needs_the_dataset_no_more(samples: Path, tmp_path: Path) -> None:
    requests = request_labels(evaluate(tmp_path / "e"), samples, CONFIG, "d", tmp_path / "o")
    shutil.rmtree(samples)
    for request in requests:
        assert Rounds("d").image(request.sample_id) == b"\x89PNG\r\n\x1a\n" + request.sample_id.encode()


def test_request_labels_test_samples_are_asked_about_for_the_audit_only(
    samples: Path, tmp_path: Path
) -> None:
    evaluation = evaluate(tmp_path / "e", IDS[:25], test=IDS[25:])
    requests = request_labels(evaluation, samples, LabelsConfig(budget=24), "d", tmp_path / "o")
    audited = [one for one in requests if one.sample_id in IDS[25:]]
    assert len(audited) == 1 and all(one.reasons == ("audit",) for one in audited)


def logged(
    model: str, key: str, said: list[float], image: bytes | None, ok: bool = True, version: str = "1"
) -> dict[str, Any]:
    """A row of the prediction log."""
    row = {"model": model, "version": version, "ok": ok, "sample_id": key, "probabilities": said}
    return {**row, "predicted": CLASSES[int(np.argmax(said))], "image": image}


def test_request_labels_of_a_version_with_other_classes_are_not_asked_about(
    samples: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """With as many classes as the evaluation has, its numbers were read as of these: people saw wrong ones.

    One answer that names no class of the evaluation tells it of the whole version.
    """
    log = tmp_path / "state" / "serving" / "log"
    log.mkdir(parents=True)
    shown = {**logged("d", "p1", [0.1, 0.5, 0.4], b"p1"), "predicted": "hat"}
    rows = [
        shown,
        logged("d", "p2", [0.4, 0.3, 0.3], b"p2"),
        logged("d", "p3", [0.4, 0.3, 0.3], b"p3", version="2"),
    ]
    pq.write_table(pa.Table.from_pylist(rows), log / "served-1.parquet")
    requests = request_labels(evaluate(tmp_path / "e"), samples, CONFIG, "d", tmp_path / "o")
    assert [one.sample_id for one in requests if one.reasons[0] == "production"] == ["p3"]
    assert "version 1 of d are not asked about: it has other classes" in caplog.text


def test_request_labels_unsure_production_requests_are_asked_about(samples: Path, tmp_path: Path) -> None:
    log = tmp_path / "state" / "serving" / "log"
    log.mkdir(parents=True)
    sure, unsure = [0.98, 0.01, 0.01], [0.4, 0.35, 0.25]
    rows = [
        logged(model, key, said, image, ok)
        for key, model, ok, said, image in (
            ("p0", "d", True, sure, b"p0"),
            ("p1", "d", True, unsure, b"p1"),
            ("p2", "other", True, unsure, b"p2"),
            ("p3", "d", False, unsure, b"p3"),
            ("p4", "d", True, unsure, None),
            (IDS[0], "d", True, unsure, b"known"),
        )
    ]
    pq.write_table(pa.Table.from_pylist(rows), log / "served-1.parquet")
    (log / "served-2.parquet").write_bytes(b"under way")
    requests = request_labels(evaluate(tmp_path / "e"), samples, CONFIG, "d", tmp_path / "o")
    asked = [one for one in requests if one.reasons[0] == "production"]
    assert [one.sample_id for one in asked] == ["p1", "p0"], "the most unsure first, and no other"
    assert asked[0].label == "" and Rounds("d").image("p1") == b"p1"
    others = {one.sample_id for one in requests} - {"p0", "p1"}
    assert len(requests) == 10 and others <= set(IDS)


def test_request_labels_that_drift_asks_are_requests_that_were_kept_by_chance(
    samples: Path, tmp_path: Path
) -> None:
    """And an ordinary round of the same evaluation is another batch, which asks as before."""
    log = tmp_path / "state" / "serving" / "log"
    log.mkdir(parents=True)
    reasons = {"p0": "random", "p1": "uncertain", "p2": "random", "p3": "unlike", "p4": None}
    rows = [
        logged("d", key, [0.4, 0.35, 0.25], key.encode()) | {"kept_for": why} for key, why in reasons.items()
    ]
    pq.write_table(pa.Table.from_pylist(rows), log / "served-1.parquet")
    evaluation, drift = evaluate(tmp_path / "e"), LabelsConfig(budget=10, requests_only=True)
    asked = request_labels(evaluation, samples, drift, "d", tmp_path / "o")
    assert {one.sample_id for one in asked} == {"p0", "p2", "p4"}, "of an older Linnet: drawn by chance"
    assert {one.reasons[0] for one in asked} == {"drift"} and {one.label for one in asked} == {""}
    assert request_labels(evaluation, samples, drift, "d", tmp_path / "o") == asked
    others = request_labels(evaluation, samples, CONFIG, "d", tmp_path / "o2")
    assert {one.sample_id for one in others if one.reasons[0] == "production"} == {"p1", "p3"}


def write_log(log: Path, number: int, model: str, key: str) -> None:
    log.mkdir(parents=True, exist_ok=True)
    row = logged(model, key, [0.4, 0.35, 0.25], b"x")
    pq.write_table(pa.Table.from_pylist([row]), log / f"served-20260101T000000-1-{number:06d}.parquet")


def test_request_labels_asks_about_requests_of_a_model_registered_by_another_name(
    samples: Path, tmp_path: Path
) -> None:
    log = tmp_path / "state" / "serving" / "log"
    write_log(log, 1, "shop", "ours")
    write_log(log, 2, "d", "of another model")
    requests = request_labels(evaluate(tmp_path / "e"), samples, CONFIG, "d", tmp_path / "o", "shop")
    assert [one.sample_id for one in requests if one.reasons[0] == "production"] == ["ours"]


def test_request_labels_finds_requests_of_a_quiet_model_beside_a_busy_one(
    samples: Path, tmp_path: Path
) -> None:
    log = tmp_path / "state" / "serving" / "log"
    write_log(log, 0, "d", "quiet")
    write_log(log, 1, "busy", "b")
    for number in range(2, 300):
        (log / f"served-20260101T000000-1-{number:06d}.parquet").symlink_to(
            log / "served-20260101T000000-1-000001.parquet"
        )
    requests = request_labels(evaluate(tmp_path / "e"), samples, CONFIG, "d", tmp_path / "o")
    assert [one.sample_id for one in requests if one.reasons[0] == "production"] == ["quiet"]
    assert [Path(file).name for file, *_ in log_state("d")] == ["served-20260101T000000-1-000000.parquet"]


def test_newest_requests_are_the_newest_in_whatever_folder_they_lie(
    samples: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files were taken by their whole path: those in a folder of another month came last, or first."""
    log = tmp_path / "state" / "serving" / "log"
    write_log(log, 1, "d", "newest")
    write_log(log / "a", 0, "d", "old")
    write_log(log / "z", 0, "d", "old")
    monkeypatch.setattr("linnet.labels.candidates._LATEST_REQUESTS", 1)
    requests = request_labels(evaluate(tmp_path / "e"), samples, CONFIG, "d", tmp_path / "o")
    assert [one.sample_id for one in requests if one.reasons[0] == "production"] == ["newest"]


def test_request_labels_that_drift_asks_are_found_in_as_many_files_as_it_takes(
    samples: Path, tmp_path: Path
) -> None:
    """A quiet server writes a file a request, most without an image: 200 files held some 25 images."""
    log = tmp_path / "state" / "serving" / "log"
    log.mkdir(parents=True)
    for number in range(600):
        image = f"{number}".encode() if number % 2 == 0 and number < 560 else None
        rows = [logged("d", f"p{number}", [0.4, 0.35, 0.25], image)]
        file = log / f"served-20260101T000000-1-{number:06d}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, served_schema()), file)
    evaluation, drift = evaluate(tmp_path / "e"), LabelsConfig(budget=270, requests_only=True)
    assert len(request_labels(evaluation, samples, drift, "d", tmp_path / "o")) == 270
    assert len(log_state("d")) == 280, "files without an image change nothing"


def test_request_labels_gold_is_held_out_and_known(samples: Path, tmp_path: Path) -> None:
    evaluation = evaluate(tmp_path / "e")
    stored = dict(np.load(evaluation / "candidates.npz"))
    stored["probabilities"][:20] = [0.99, 0.005, 0.005]  # a bag, as the dataset has it
    stored["probabilities"][20:] = [0.3, 0.4, 0.3]
    np.savez(evaluation / "candidates.npz", **stored)
    requests = request_labels(evaluation, samples, LabelsConfig(budget=40), "d", tmp_path / "o")
    gold = [one for one in requests if one.gold]
    assert gold and all(one.gold == "bag" and one.reasons[0] == "gold" for one in gold)
    assert {one.sample_id for one in gold} <= set(IDS[0:20:2])
